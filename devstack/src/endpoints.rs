//! Where the servers are, for programs, tests and people.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::secrets::Account;
use crate::site::{Site, write};
use crate::tls::{CA_CERT, TRUST_STORE};

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
    /// Helm, where there is a cluster.
    pub helm: Option<PathBuf>,
    /// The databases file with the operator's account.
    pub databases: PathBuf,
    /// The databases file with the api's account.
    pub api_databases: PathBuf,
    /// The folder of the passwords.
    pub secrets: PathBuf,
    /// What clients of a secured stack need beside.
    pub secured: Option<Secured>,
}

/// How clients get in to the servers of a secured stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secured {
    /// The authority that signed the certificates of MySQL, Kafka and Connect, in PEM.
    pub ca_file: PathBuf,
    /// The file with the password of `gamecast_operator` at Kafka (SCRAM-SHA-512).
    pub kafka_operator_password_file: PathBuf,
    /// The file with the password of `gamecast_fanout` at Kafka (SCRAM-SHA-256).
    pub kafka_fanout_password_file: PathBuf,
    /// The settings with which connectors get in to Kafka (PLAIN), as the operator reads them.
    pub kafka_client_config: PathBuf,
    /// The file with the password of `gamecast_operator` at Connect's REST interface.
    pub connect_password_file: PathBuf,
    /// The file with the password that Debezium logs in to MySQL with.
    pub debezium_password_file: PathBuf,
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
                host: site.address().to_owned(),
                port: site.ports.mysql,
                schema: site.schema.clone(),
                operator_password_file: secrets.file(Account::Operator),
                api_password_file: secrets.file(Account::Api),
                root_password_file: secrets.file(Account::Root),
            },
            kafka: format!("{}:{}", site.address(), site.ports.kafka),
            connect: connect_url(site),
            kubeconfig: site.kubeconfig(),
            kubectl: site.kubectl(),
            helm: site.network.as_ref().map(|_| site.helm()),
            databases: site.databases(),
            api_databases: site.api_databases(),
            secrets: secrets.dir().to_owned(),
            secured: site.secured.then(|| Secured {
                ca_file: site.tls(CA_CERT),
                kafka_operator_password_file: secrets.file(Account::KafkaOperator),
                kafka_fanout_password_file: secrets.file(Account::KafkaFanout),
                kafka_client_config: site.kafka_client(),
                connect_password_file: secrets.file(Account::ConnectOperator),
                debezium_password_file: secrets.file(Account::Debezium),
            }),
        }
    }
}

/// The URL of Connect's REST interface.
pub(crate) fn connect_url(site: &Site) -> String {
    let scheme = if site.secured { "https" } else { "http" };
    format!("{scheme}://{}:{}", site.address(), site.ports.connect)
}

/// Writes the databases files: one server, once as the operator logs in and once as the api does.
pub(crate) fn write_databases(site: &Site) -> Result<(), Error> {
    let operator = database(site, Account::Operator) + &connector(site);
    write(&site.databases(), operator)?;
    if site.secured {
        write_kafka_client(site)?;
    }
    write(&site.api_databases(), database(site, Account::Api))
}

/// The databases file for who logs in as `account`.
fn database(site: &Site, account: Account) -> String {
    format!(
        "\
databases:
  default:
    host: {host}
    port: {port}
    schema: {schema}
    username: {user}
    passwordFile: {password_file}
{tls}",
        host = site.address(),
        port = site.ports.mysql,
        schema = site.schema,
        user = account.user(),
        password_file = site.secrets().file(account).display(),
        tls = match site.secured {
            true => format!(
                "    tls: {{mode: verify_identity, caFile: {}}}\n",
                site.tls(CA_CERT).display()
            ),
            false => String::new(),
        },
    )
}

/// What follows for the operator, who creates connectors. It does not know their password: the
/// reference is resolved by Connect alone.
fn connector(site: &Site) -> String {
    let secrets = site.secrets();
    let mut text = format!(
        "    connector:
      username: {debezium}
      password: \"{password}\"
      serverIdBase: {SERVER_ID_BASE}
",
        debezium = Account::Debezium.user(),
        password = secrets.reference(Account::Debezium),
    );
    if site.secured {
        text += &format!(
            "      truststore: {}\n      truststorePassword: \"{}\"\n",
            site.tls(TRUST_STORE).display(),
            secrets.reference(Account::Stores),
        );
    }
    text
}

/// Writes the settings with which a Kafka client in Connect gets in.
fn write_kafka_client(site: &Site) -> Result<(), Error> {
    let settings = kafka_client(site).into_iter();
    let lines = settings.map(|(key, value)| format!("{key}: '{value}'\n"));
    write(&site.kafka_client(), lines.collect::<String>())
}

/// How a Kafka client in Connect, and Connect itself, gets in to a secured Kafka.
pub(crate) fn kafka_client(site: &Site) -> [(&'static str, String); 5] {
    let account = Account::KafkaConnect;
    let jaas = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required \
         username=\"{}\" password=\"{}\";",
        account.user(),
        site.secrets().reference(account)
    );
    [
        ("security.protocol", "SASL_SSL".into()),
        ("sasl.mechanism", "PLAIN".into()),
        ("sasl.jaas.config", jaas),
        ("ssl.truststore.type", "PEM".into()),
        (
            "ssl.truststore.location",
            site.tls(CA_CERT).display().to_string(),
        ),
    ]
}
