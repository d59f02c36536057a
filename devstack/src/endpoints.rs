//! Where the servers are, for programs, tests and people.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::secrets::Account;
use crate::servers::SCHEMA;
use crate::site::{HOST, Site, write};

/// The server ids of the connectors of the default database begin here.
const SERVER_ID_BASE: u32 = 40_000;

/// Where the servers of a stack are, and the files that clients need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// MySQL's address and schema.
    pub mysql: MySqlEndpoint,
    /// Kafka's bootstrap address, `host:port`.
    pub kafka: String,
    /// The URL of Kafka Connect's REST interface, without a slash at its end.
    pub connect: String,
    /// The kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// kubectl, of the version of the API server.
    pub kubectl: PathBuf,
    /// The databases file with the operator's account.
    pub databases: PathBuf,
    /// The databases file with the api's account.
    pub api_databases: PathBuf,
    /// The folder of the passwords.
    pub secrets: PathBuf,
}

/// Where MySQL is, and as whom to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MySqlEndpoint {
    /// Its address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The schema of the games.
    pub schema: String,
    /// The file with the password of `gamecast_operator`, who may do anything in the schema.
    pub operator_password_file: PathBuf,
    /// The file with the password of `gamecast_api`, who may read and insert.
    pub api_password_file: PathBuf,
    /// The file with the password of `root`, for faults that only an administrator can cause.
    pub root_password_file: PathBuf,
}

impl Endpoints {
    pub(crate) fn new(site: &Site) -> Self {
        let secrets = site.secrets();
        Self {
            mysql: MySqlEndpoint {
                host: HOST.to_owned(),
                port: site.ports.mysql,
                schema: SCHEMA.to_owned(),
                operator_password_file: secrets.file(Account::Operator),
                api_password_file: secrets.file(Account::Api),
                root_password_file: secrets.file(Account::Root),
            },
            kafka: format!("{HOST}:{}", site.ports.kafka),
            connect: format!("http://{HOST}:{}", site.ports.connect),
            kubeconfig: site.kubeconfig(),
            kubectl: site.kubectl(),
            databases: site.databases(),
            api_databases: site.api_databases(),
            secrets: secrets.dir().to_owned(),
        }
    }
}

/// Writes the databases files: one server, once as the operator logs in and once as the api does.
pub(crate) fn write_databases(site: &Site) -> Result<(), Error> {
    let operator = database(site, Account::Operator) + &connector(site);
    write(&site.databases(), operator)?;
    write(&site.api_databases(), database(site, Account::Api))
}

/// The databases file for who logs in as `account`.
fn database(site: &Site, account: Account) -> String {
    format!(
        "\
databases:
  default:
    host: {HOST}
    port: {port}
    schema: {SCHEMA}
    username: {user}
    passwordFile: {password_file}
",
        port = site.ports.mysql,
        user = account.user(),
        password_file = site.secrets().file(account).display(),
    )
}

/// What follows for the operator, who creates connectors. It does not know their password: the
/// reference is resolved by Connect alone.
fn connector(site: &Site) -> String {
    format!(
        "    connector:
      username: {debezium}
      password: \"${{directory:{connect_dir}:debezium-password}}\"
      serverIdBase: {SERVER_ID_BASE}
",
        debezium = Account::Debezium.user(),
        connect_dir = site.secrets().connect_dir().display(),
    )
}
