//! Everything that runs, started in the order in which a user would.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use database::{Connections, Databases};
use devstack::{Options, Stack};
use mysql_async::{Conn, OptsBuilder};

use crate::json_client::JsonClient;
use crate::kafka::Kafka;
use crate::kafka_connect::KafkaConnect;
use crate::kubectl::Kubectl;
use crate::mqtt_js::MqttJs;
use crate::program::Program;

/// The first port of the real servers; Gamecast's own follow.
const BASE_PORT: u16 = 25_000;
const OPERATOR_ADMIN: u16 = BASE_PORT + 20;
const API: u16 = BASE_PORT + 21;
const API_ADMIN: u16 = BASE_PORT + 22;

/// How often the operator looks at everything again: short, so that the tests of drift need not
/// wait a minute.
pub const RESYNC: &str = "5s";

/// Which of the two fanouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fanout {
    One,
    Two,
}

impl Fanout {
    fn port(self) -> u16 {
        match self {
            Self::One => BASE_PORT + 23,
            Self::Two => BASE_PORT + 24,
        }
    }

    fn admin(self) -> u16 {
        self.port() + 2
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(self, path: &str) -> String {
        format!("ws://127.0.0.1:{}{path}", self.port())
    }

    /// The address of `path` for plain HTTP.
    pub fn http_url(self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    /// The address of `path` on the admin port.
    pub fn admin_url(self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin())
    }
}

/// The real servers, and Gamecast on them. Everything ends when this is dropped.
pub struct World {
    // Fields are dropped in this order: programs before the servers they use.
    pub operator: Program,
    pub fanout: Program,
    pub second_fanout: Program,
    pub api: Program,
    /// The games' schema, as the operator's account sees it.
    pub mysql: Connections,
    pub kafka: Kafka,
    pub kubectl: Kubectl,
    pub stack: Stack,
}

impl World {
    /// Starts the servers and Gamecast, and waits until all of it is ready.
    pub async fn up() -> Result<Self> {
        let options = Options {
            progress: true,
            ..Options::ephemeral(BASE_PORT)
        };
        let stack = Stack::up(options).await?;
        let endpoints = stack.endpoints();
        let kubectl = Kubectl {
            program: endpoints.kubectl.clone(),
            kubeconfig: endpoints.kubeconfig.clone(),
        };
        kubectl.install_crds().await?;
        let databases = Databases::load(&endpoints.databases)?;
        let mysql = databases.get("default")?.connections()?;
        let logs = logs("e2e")?;
        let bootstrap = endpoints.kafka.clone();
        let fanout = |which: Fanout, name: &str| -> Result<Program> {
            Ok(
                Program::new(name, "fanout", &logs, which.admin_url("/readyz"))?
                    .flag("--listen", format!("127.0.0.1:{}", which.port()))
                    .flag("--admin-listen", format!("127.0.0.1:{}", which.admin()))
                    .flag("--kafka-bootstrap-servers", &bootstrap)
                    .flag("--allow-origin", format!("http://127.0.0.1:{API}"))
                    // For pages that are not the board.
                    .flag("--allow-origin", Fanout::Two.http_url("")),
            )
        };
        let mut world = Self {
            operator: operator(&logs, &stack)?,
            fanout: fanout(Fanout::One, "fanout-1")?,
            second_fanout: fanout(Fanout::Two, "fanout-2")?.argument("--compression"),
            api: api(&logs, &stack)?,
            kafka: Kafka::new(&endpoints.kafka),
            mysql,
            kubectl,
            stack,
        };
        for program in world.programs() {
            program.start()?;
        }
        for program in world.programs() {
            program.ready().await?;
        }
        Ok(world)
    }

    fn programs(&mut self) -> [&mut Program; 4] {
        [
            &mut self.operator,
            &mut self.fanout,
            &mut self.second_fanout,
            &mut self.api,
        ]
    }

    /// Puts the custom resource definitions back to what the repository holds.
    pub async fn restore_crds(&self) -> Result<()> {
        self.kubectl.install_crds().await
    }

    /// The address of `path` on the api, which serves the page too.
    pub fn api_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{API}{path}")
    }

    /// The address of the operator's metrics.
    pub fn operator_metrics(&self) -> String {
        format!("http://127.0.0.1:{OPERATOR_ADMIN}/metrics")
    }

    /// Starts the operator anew, which then looks at everything again every `interval`.
    pub async fn resync_every(&mut self, interval: &str) -> Result<()> {
        self.operator.terminate().await?;
        self.operator.set("--resync-interval", interval);
        self.operator.start_ready().await
    }

    /// Kafka Connect, beside the operator.
    pub fn connectors(&self) -> KafkaConnect {
        KafkaConnect::new(&self.stack.endpoints().connect)
    }

    /// A connection as MySQL's administrator, for faults that only one can cause.
    pub async fn administrator(&self) -> Result<Conn> {
        self.administrator_at(self.stack.endpoints().mysql.port)
            .await
    }

    /// A connection as the administrator of another MySQL of this machine, with the same accounts.
    pub async fn administrator_at(&self, port: u16) -> Result<Conn> {
        let mysql = &self.stack.endpoints().mysql;
        let password = std::fs::read_to_string(&mysql.root_password_file)?;
        let options = OptsBuilder::default()
            .ip_or_hostname(&mysql.host)
            .tcp_port(port)
            .user(Some("root"))
            .pass(Some(password))
            .db_name(Some(&mysql.schema))
            .prefer_socket(false);
        Ok(Conn::new(options).await?)
    }

    /// A `/ws` client that is subscribed to `filters`.
    pub async fn json_client(&self, fanout: Fanout, filters: &[&str]) -> Result<JsonClient> {
        let mut client = JsonClient::connect(&fanout.url("/ws?topics=")).await?;
        client.subscribe(filters).await?;
        Ok(client)
    }

    /// A `/ws` client of the games `ids`, once it has a first value of each: from then on it gets
    /// every row. A fanout that nobody asked for a game before reads its topic first.
    pub async fn game_client(&self, fanout: Fanout, ids: &[&str]) -> Result<JsonClient> {
        let topics: Vec<String> = ids.iter().map(|id| crate::games::topic(id)).collect();
        let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
        let client = self.json_client(fanout, &filters).await?;
        for topic in &topics {
            client
                .inbox
                .find(&format!("a value of {topic}"), |m| m.topic == *topic)
                .await?;
        }
        Ok(client)
    }

    /// An MQTT.js client that is subscribed to `filters`.
    pub async fn mqtt_client(&self, fanout: Fanout, filters: &[&str]) -> Result<MqttJs> {
        MqttJs::subscribe(&fanout.url("/mqtt"), 5, filters).await
    }
}

fn operator(logs: &Path, stack: &Stack) -> Result<Program> {
    let endpoints = stack.endpoints();
    let ready = format!("http://127.0.0.1:{OPERATOR_ADMIN}/readyz");
    Ok(Program::new("operator", "operator", logs, ready)?
        .variable("KUBECONFIG", &endpoints.kubeconfig)
        .flag("--databases", endpoints.databases.display())
        .flag("--kafka-bootstrap-servers", &endpoints.kafka)
        .flag("--connect-url", &endpoints.connect)
        .flag("--admin-listen", format!("127.0.0.1:{OPERATOR_ADMIN}"))
        .flag("--resync-interval", RESYNC)
        .flag("--topic-check-interval", "2s")
        .flag("--restart-backoff", "100ms"))
}

fn api(logs: &Path, stack: &Stack) -> Result<Program> {
    let endpoints = stack.endpoints();
    let ready = format!("http://127.0.0.1:{API_ADMIN}/readyz");
    Ok(Program::new("api", "api", logs, ready)?
        .argument("serve")
        .variable("KUBECONFIG", &endpoints.kubeconfig)
        .flag("--databases", endpoints.api_databases.display())
        .flag("--listen", format!("127.0.0.1:{API}"))
        .flag("--admin-listen", format!("127.0.0.1:{API_ADMIN}"))
        .flag("--web-dir", repository().join("web/dist").display())
        .flag("--mqtt-url", Fanout::One.url("/mqtt")))
}

/// The folder of pictures and logs that a run leaves behind.
pub fn artifacts() -> Result<PathBuf> {
    let folder = repository().join("artifacts");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make {}", folder.display()))?;
    Ok(folder)
}

/// An empty folder for the logs of a run.
pub fn logs(run: &str) -> Result<PathBuf> {
    let folder = artifacts()?.join("logs").join(run);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The folder of the repository.
pub(crate) fn repository() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().unwrap_or(folder).into()
}
