//! Whether a server is fit for being captured.
//!
//! What stops Debezium, or loses rows without a word, is a defect; what works and will hurt some
//! day is an advice. Both are found before a connector is made, and named.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mysql_async::{Row, Value};

use super::{MysqlError, Server};
use crate::failure::Failure;
use crate::metrics::Backend;
use crate::reason::Reason;

/// The oldest version that is supported. Tested are 8.0 and 9.7.
const OLDEST: (u32, u32) = (8, 0);

/// A binary log that is kept for less than this is gone before a weekend's outage is over.
const SHORT_BINLOG: Duration = Duration::from_secs(3 * 24 * 3600);

/// What is asked of the server. Not all are variables of every version.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('version', 'log_bin', \
     'binlog_format', 'binlog_row_image', 'binlog_row_value_options', 'gtid_mode', \
     'binlog_expire_logs_seconds', 'read_only')";

/// What the operator may do in the schema, as `SHOW GRANTS` writes it.
const PRIVILEGES: [&str; 7] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP",
];

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fitness {
    /// What must be put right first.
    defects: Vec<String>,
    /// What should be.
    advice: Vec<String>,
}

impl Fitness {
    /// What should be put right, where anything should.
    pub(crate) fn advice(&self) -> Option<String> {
        (!self.advice.is_empty()).then(|| self.advice.join("; "))
    }

    fn of(variables: &BTreeMap<String, String>, grants: &[String], schema: &str) -> Self {
        let mut found = Self::default();
        found.settings(variables);
        found.grants(grants, schema);
        found
    }

    fn settings(&mut self, variables: &BTreeMap<String, String>) {
        let is = |name: &str| variables.get(name).map(String::as_str);
        if let Some(version) = is("version")
            && version_of(version).is_some_and(|version| version < OLDEST)
        {
            self.defects
                .push(format!("MySQL {version} is too old, 8.0 is the oldest"));
        }
        let wanted = [
            ("log_bin", "ON", "nothing can be captured"),
            ("binlog_format", "ROW", "statements cannot be captured"),
            (
                "binlog_row_image",
                "FULL",
                "a row that is updated lacks columns",
            ),
            ("binlog_row_value_options", "", "JSON columns come in parts"),
            ("read_only", "OFF", "no table can be made"),
        ];
        for (name, wanted, why) in wanted {
            if let Some(value) = is(name)
                && !value.eq_ignore_ascii_case(wanted)
            {
                let wanted = if wanted.is_empty() { "empty" } else { wanted };
                self.defects
                    .push(format!("{name} is {value} and must be {wanted}: {why}"));
            }
        }
        if is("gtid_mode").is_some_and(|mode| mode != "ON") {
            self.advice.push(
                "gtid_mode is not ON: no connector can go on at a replica that is promoted".into(),
            );
        }
        let kept = is("binlog_expire_logs_seconds").and_then(|seconds| seconds.parse().ok());
        // 0 is for ever.
        if let Some(kept @ 1..) = kept
            && Duration::from_secs(kept) < SHORT_BINLOG
        {
            self.advice.push(format!(
                "binlog_expire_logs_seconds is {kept}: a connector that is down for longer than {} cannot go on",
                humantime::format_duration(Duration::from_secs(kept))
            ));
        }
    }

    fn grants(&mut self, grants: &[String], schema: &str) {
        // What a role brings is not in these lines, but the role is.
        if grants.iter().any(|grant| !grant.contains(" ON ")) {
            return;
        }
        let missing: Vec<&str> = PRIVILEGES
            .into_iter()
            .filter(|privilege| !grants.iter().any(|grant| allows(grant, privilege, schema)))
            .collect();
        if !missing.is_empty() {
            self.defects.push(format!(
                "the operator's account lacks {} on {schema}.*",
                missing.join(", ")
            ));
        }
    }
}

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.defects.join("; "))
    }
}

/// Major and minor of `8.0.12-debug` and `8.4.3`; none of what is no version.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// True where a line of `SHOW GRANTS` grants `privilege` on all of `schema`.
fn allows(grant: &str, privilege: &str, schema: &str) -> bool {
    let Some((privileges, on)) = grant
        .strip_prefix("GRANT ")
        .and_then(|rest| rest.split_once(" ON "))
    else {
        return false;
    };
    let object = on.split(" TO ").next().unwrap_or_default();
    // In the name of a schema `_` may be escaped, as it is a wildcard there.
    let object = object.replace('\\', "");
    let covers = object == "*.*" || object == format!("`{schema}`.*");
    covers
        && privileges
            .split(", ")
            .any(|granted| granted == privilege || granted == "ALL PRIVILEGES")
}

impl Server {
    /// Looks at the server and at what this account may do there.
    ///
    /// # Errors
    /// When it cannot be asked, and with all defects at once where there are some.
    pub(crate) async fn check_fitness(&self) -> Result<Fitness, Failure> {
        let fitness = self.fitness().await?;
        if fitness.defects.is_empty() {
            return Ok(fitness);
        }
        let message = format!("MySQL at {} is not fit: {fitness}", self.session.address);
        Err(Failure::new(Reason::DatabaseUnfit, message).of(Backend::Mysql))
    }

    async fn fitness(&self) -> Result<Fitness, MysqlError> {
        let session = &self.session;
        let rows = session.run("look up the server's settings", VARIABLES, ());
        let rows = rows.await?;
        let variables = rows.iter().map(|row| (text(row, 0), text(row, 1)));
        let variables = variables.collect();
        let grants = session.run("look up the account's privileges", "SHOW GRANTS", ());
        let grants: Vec<String> = grants.await?.iter().map(|row| text(row, 0)).collect();
        Ok(Fitness::of(&variables, &grants, &session.schema))
    }

    /// When the password of `account` was changed last, in UTC; none where this account
    /// may not see it, or there is none of that name.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn password_changed(
        &self,
        account: &str,
    ) -> Result<Option<String>, MysqlError> {
        let sql = "SELECT DATE_FORMAT('1970-01-01' + INTERVAL \
                   UNIX_TIMESTAMP(MAX(password_last_changed)) SECOND, '%Y-%m-%dT%H:%i:%sZ') \
                   FROM mysql.user WHERE user = ?";
        let action = "look up when a password was changed";
        match self.session.run(action, sql, (account,)).await {
            Ok(rows) => Ok(rows
                .first()
                .map(|row| text(row, 0))
                .filter(|time| !time.is_empty())),
            Err(MysqlError::Statement { source, .. }) if is_forbidden(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// `ER_TABLEACCESS_DENIED_ERROR` and `ER_COLUMNACCESS_DENIED_ERROR`.
fn is_forbidden(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(error) if matches!(error.code, 1142 | 1143))
}

fn text(row: &Row, index: usize) -> String {
    match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER ON \
                         `game\\_odds`.* TO `gamecast_operator`@`%`";

    fn fitness(change: &[(&str, &str)], grants: &[&str]) -> Fitness {
        let mut variables: BTreeMap<String, String> = [
            ("version", "8.4.3"),
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_value_options", ""),
            ("gtid_mode", "ON"),
            ("binlog_expire_logs_seconds", "2592000"),
            ("read_only", "OFF"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        variables.extend(change.iter().map(|(n, v)| ((*n).into(), (*v).into())));
        let grants: Vec<String> = grants.iter().map(|grant| (*grant).to_owned()).collect();
        Fitness::of(&variables, &grants, "game_odds")
    }

    #[test]
    fn a_server_as_it_should_be_is_fit() {
        assert_eq!(fitness(&[], &[GRANT]), Fitness::default());
        let never = fitness(&[("binlog_expire_logs_seconds", "0")], &[GRANT]);
        assert_eq!(never, Fitness::default());
        let all = "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION";
        assert_eq!(fitness(&[], &[all]), Fitness::default());
    }

    #[test]
    fn every_defect_is_named() {
        let found = fitness(
            &[
                ("version", "5.7.44-log"),
                ("binlog_format", "MIXED"),
                ("binlog_row_image", "MINIMAL"),
            ],
            &["GRANT SELECT, INSERT ON `game_odds`.* TO `o`@`%`"],
        );
        assert_eq!(
            found.to_string(),
            "MySQL 5.7.44-log is too old, 8.0 is the oldest; \
             binlog_format is MIXED and must be ROW: statements cannot be captured; \
             binlog_row_image is MINIMAL and must be FULL: a row that is updated lacks columns; \
             the operator's account lacks UPDATE, DELETE, CREATE, ALTER, DROP on game_odds.*"
        );
    }

    #[test]
    fn what_only_should_be_put_right_stops_nothing() {
        let found = fitness(
            &[
                ("gtid_mode", "OFF"),
                ("binlog_expire_logs_seconds", "86400"),
            ],
            &[GRANT],
        );
        assert!(found.defects.is_empty());
        let advice = found.advice().unwrap();
        assert!(advice.contains("gtid_mode"), "{advice}");
        assert!(advice.contains("longer than 1day"), "{advice}");
    }

    #[test]
    fn privileges_of_a_role_are_not_doubted() {
        let role = "GRANT `games`@`%` TO `o`@`%`";
        assert_eq!(
            fitness(&[], &["GRANT USAGE ON *.* TO `o`@`%`", role]),
            Fitness::default()
        );
    }

    #[test]
    fn a_grant_on_another_schema_is_none() {
        let other = GRANT.replace("game\\_odds", "other");
        assert!(fitness(&[], &[&other]).to_string().contains("lacks SELECT"));
    }
}
