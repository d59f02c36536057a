//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as _, CommandFactory, FromArgMatches, Parser};
use service::telemetry::Format;
use url::Url;

use crate::capture::RestartArgs;
use crate::connect::ConnectFlags;
use crate::failpoint::FailPointArgs;
use crate::leader::LeaderArgs;
use crate::release::Release;

/// What the program is started for.
#[derive(Debug, Clone)]
pub enum Task {
    /// To reconcile.
    Operate(Box<Args>),
    /// To let every object go (`operator release`).
    Release(Release),
}

impl Task {
    /// The task that a command line asks for.
    ///
    /// # Errors
    /// What clap says of it, `--help` included.
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        match matches.subcommand() {
            Some((_, release)) => Release::from_arg_matches(release).map(Self::Release),
            None => Args::from_arg_matches(&matches).map(|args| Self::Operate(Box::new(args))),
        }
    }

    fn command() -> clap::Command {
        let release = Release::augment_args(clap::Command::new("release"));
        Args::command()
            .subcommand(release)
            .subcommand_negates_reqs(true)
    }
}

kafkaclient::flags!("GAMECAST_OPERATOR_");

/// Reconciles Games and Feeds: tables, connectors, Kafka topics and routes.
///
/// Kubernetes is found as kubectl finds it: KUBECONFIG, ~/.kube/config, or the pod's service
/// account.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// The YAML file that names the MySQL servers.
    #[arg(long, env = "GAMECAST_OPERATOR_DATABASES")]
    pub databases: PathBuf,

    /// Kafka brokers, host:port joined by commas, as the operator and Kafka Connect both see them.
    #[arg(long, env = "GAMECAST_OPERATOR_KAFKA_BOOTSTRAP_SERVERS")]
    pub kafka_bootstrap_servers: String,

    #[command(flatten)]
    pub kafka: KafkaFlags,

    /// Kafka Connect's REST address.
    #[arg(long, env = "GAMECAST_OPERATOR_CONNECT_URL")]
    pub connect_url: Url,

    #[command(flatten)]
    pub connect: ConnectFlags,

    /// The first part of the names of topics and connectors: a-z, A-Z, 0-9, _ and -. A game's
    /// topic is <prefix>.<schema>.<table>.
    #[arg(long, env = "GAMECAST_OPERATOR_TOPIC_PREFIX", default_value = "gamecast", value_parser = topic_prefix)]
    pub topic_prefix: String,

    /// The Kafka topic that carries the routes to fanout.
    #[arg(long, env = "GAMECAST_OPERATOR_ROUTES_TOPIC", default_value = route::ROUTES_TOPIC)]
    pub routes_topic: String,

    /// The replication factor of the topics that the operator creates; -1 is the brokers' default.
    #[arg(
        long,
        env = "GAMECAST_OPERATOR_REPLICATION_FACTOR",
        default_value_t = -1,
        allow_negative_numbers = true,
        value_parser = replication_factor,
    )]
    pub replication_factor: i32,

    /// How often everything is looked at again and put right.
    #[arg(long, env = "GAMECAST_OPERATOR_RESYNC_INTERVAL", default_value = "60s", value_parser = humantime::parse_duration)]
    pub resync_interval: Duration,

    /// How often the topics and connectors of all objects are looked at, with one call each. A
    /// missing topic stops every game of a shared connector.
    #[arg(long, env = "GAMECAST_OPERATOR_TOPIC_CHECK_INTERVAL", default_value = "5s", value_parser = humantime::parse_duration)]
    pub topic_check_interval: Duration,

    /// How long a marker row may take from MySQL to Kafka, or after the one before it, until the
    /// connector counts as not streaming. One that is behind may so take six times as long in all.
    #[arg(long, env = "GAMECAST_OPERATOR_MARKER_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub marker_timeout: Duration,

    /// How long Kafka Connect may take to commit the offsets of what it has sent, which the data of
    /// a deleted Game waits for: more than twice its offset.flush.interval.ms, by default a minute.
    #[arg(long, env = "GAMECAST_OPERATOR_COMMIT_TIMEOUT", default_value = "3m", value_parser = humantime::parse_duration)]
    pub commit_timeout: Duration,

    #[command(flatten)]
    pub restarts: RestartArgs,

    /// Have a connector begin anew with a snapshot when MySQL has purged the binary log that it has
    /// not read yet, or its schema history is lost, without being told to by an annotation. A
    /// snapshot reads every captured table, and locks MySQL for a moment.
    #[arg(long, env = "GAMECAST_OPERATOR_AUTO_RESNAPSHOT")]
    pub auto_resnapshot: bool,

    /// How long one call to MySQL, Kafka or Kafka Connect may take.
    #[arg(long, env = "GAMECAST_OPERATOR_CALL_TIMEOUT", default_value = "5s", value_parser = humantime::parse_duration)]
    pub call_timeout: Duration,

    #[command(flatten)]
    pub leader: LeaderArgs,

    #[command(flatten)]
    pub fail_point: FailPointArgs,

    /// How many objects of one database are reconciled at once. They share their calls, so a small
    /// number makes more calls, and a large one takes more memory.
    #[arg(long, env = "GAMECAST_OPERATOR_CONCURRENCY", default_value = "500")]
    pub concurrency: NonZeroU16,

    /// The only namespace to serve; all of them where there is none.
    #[arg(long, env = "GAMECAST_OPERATOR_NAMESPACE")]
    pub namespace: Option<String>,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(
        long,
        env = "GAMECAST_OPERATOR_ADMIN_LISTEN",
        default_value = "0.0.0.0:9080"
    )]
    pub admin_listen: SocketAddr,

    /// What is logged, as directives of tracing's EnvFilter. librdkafka repeats itself every second
    /// while a broker is away, so its own lines are off; what failed because of it is reported.
    #[arg(
        long,
        env = "GAMECAST_OPERATOR_LOG",
        default_value = "info,librdkafka=off,rdkafka=off"
    )]
    pub log: String,

    /// What logs look like; by default text on a terminal and JSON elsewhere.
    #[arg(long, env = "GAMECAST_OPERATOR_LOG_FORMAT")]
    pub log_format: Option<Format>,

    /// Where traces are sent, as OTLP's protobuf over plain HTTP, such as
    /// http://otel-collector:4318/v1/traces; nowhere by default.
    #[arg(long, env = "GAMECAST_OPERATOR_OTLP_TRACES_ENDPOINT")]
    pub otlp_traces_endpoint: Option<Url>,
}

impl Args {
    /// Kafka Connect's address without what may be a secret in it.
    pub(crate) fn connect_address(&self) -> String {
        let mut url = self.connect_url.clone();
        // An address that cannot have credentials has none.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }
}

fn topic_prefix(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if (1..=50).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.into())
    } else {
        Err("a topic prefix is 1 to 50 of a-z, A-Z, 0-9, _ and -".into())
    }
}

fn replication_factor(text: &str) -> Result<i32, String> {
    match text.parse() {
        Ok(factor @ (-1 | 1..=32767)) => Ok(factor),
        _ => Err("a replication factor is 1 or more, or -1 for the brokers' default".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_needs_none_of_the_operators_flags() {
        Task::command().debug_assert();
        let task = Task::parse(["operator", "release", "--grace=5s"]).unwrap();
        let grace = Duration::from_secs(5);
        assert!(matches!(task, Task::Release(args) if args.grace == grace));
        assert!(Task::parse(["operator"]).is_err());
        let task = Task::parse([
            "operator",
            "--databases=d.yaml",
            "--kafka-bootstrap-servers=k:9092",
            "--connect-url=http://c:8083",
        ]);
        assert!(matches!(task.unwrap(), Task::Operate(_)));
    }

    #[test]
    fn the_command_line_is_consistent_and_refuses_unsafe_names() {
        Args::command().debug_assert();
        let parse = |extra: &[&str]| {
            let base = [
                "operator",
                "--databases=d.yaml",
                "--kafka-bootstrap-servers=k:9092",
                "--connect-url=http://c:8083",
            ];
            Args::try_parse_from(base.iter().chain(extra))
        };
        assert_eq!(parse(&[]).unwrap().replication_factor, -1);
        assert!(parse(&["--topic-prefix=a.b"]).is_err());
        assert!(parse(&["--replication-factor=0"]).is_err());
        assert!(parse(&["--replication-factor", "-1"]).is_ok());
        let mut args = parse(&[]).unwrap();
        args.connect_url = "https://user:secret@c:8083/".parse().unwrap();
        assert_eq!(args.connect_address(), "https://c:8083/");
    }
}
