//! Kafka, two fanouts, and the routes that they serve.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use devstack::{Options, Server, Stack};
use e2e::kafka::Kafka;
use e2e::{JsonClient, MqttJs, Program, artifacts};
use route::{ROUTES_TOPIC, Records, Route};
use serde_json::{Value, json};

const BASE_PORT: u16 = 30_200;

/// How long everything can be resumed.
pub(crate) const WINDOW: Duration = Duration::from_secs(600);

/// Which of the two fanouts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fanout {
    /// As it is by default.
    One,
    /// Without a ring, and little room for what is read: everything that is resumed comes from
    /// Kafka.
    Two,
}

impl Fanout {
    fn port(self) -> u16 {
        match self {
            Self::One => BASE_PORT + 20,
            Self::Two => BASE_PORT + 22,
        }
    }

    pub(crate) fn url(self, path: &str) -> String {
        format!("ws://127.0.0.1:{}{path}", self.port())
    }

    pub(crate) fn admin_url(self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port() + 1)
    }
}

pub(crate) struct World {
    // Fields are dropped in this order: programs before the servers they use.
    _fanouts: Vec<Program>,
    pub(crate) kafka: Kafka,
    pub(crate) stack: Stack,
}

impl World {
    pub(crate) async fn up() -> Result<Self> {
        let options = Options {
            progress: true,
            ..Options::ephemeral(BASE_PORT).only([Server::Kafka])
        };
        let stack = Stack::up(options).await?;
        let kafka = Kafka::new(&stack.endpoints().kafka);
        let compact = [("cleanup.policy", "compact")];
        kafka.create_topic(ROUTES_TOPIC, &compact).await?;
        let logs = artifacts()?.join("resume-logs");
        std::fs::create_dir_all(&logs)?;
        let mut fanouts = Vec::new();
        for (which, name, ring, read) in [
            (Fanout::One, "resume-1", 1 << 20, 1 << 26),
            (Fanout::Two, "resume-2", 0, 1 << 18),
        ] {
            let mut fanout = Program::new(name, "fanout", &logs, which.admin_url("/readyz"))?
                .flag("--listen", format!("127.0.0.1:{}", which.port()))
                .flag("--admin-listen", format!("127.0.0.1:{}", which.port() + 1))
                .flag("--kafka-bootstrap-servers", &stack.endpoints().kafka)
                .flag("--workers", 2)
                .flag("--ring-bytes", ring)
                .flag("--resume-bytes", read);
            fanout.start_ready().await?;
            fanouts.push(fanout);
        }
        Ok(Self {
            _fanouts: fanouts,
            kafka,
            stack,
        })
    }

    /// Makes the topic of a game, with these settings.
    pub(crate) async fn game(&self, id: &str, settings: &[(&str, &str)]) -> Result<()> {
        self.kafka.create_topic(&topic(id), settings).await?;
        self.serve_game(id, "e1").await
    }

    /// Publishes the route of a game as a life of its topic that is called `epoch`.
    pub(crate) async fn serve_game(&self, id: &str, epoch: &str) -> Result<()> {
        let template = "games/{game_id}".parse()?;
        let route = Route::new(topic(id), epoch, template, Records::Debezium)?
            .with_constants([("game_id".to_owned(), id.to_owned())].into())?
            .with_resume_window(WINDOW);
        self.serve(&format!("Game/default/{id}"), &route).await
    }

    pub(crate) async fn serve(&self, key: &str, route: &Route) -> Result<()> {
        let json = route.encode();
        self.kafka.produce(ROUTES_TOPIC, key, json.as_bytes()).await
    }

    /// Writes rows of a game.
    pub(crate) async fn rows(&self, id: &str, rows: std::ops::RangeInclusive<i64>) -> Result<()> {
        for row in rows {
            let value = row_of(id, row);
            let kafka = &self.kafka;
            kafka.produce(&topic(id), id, value.as_bytes()).await?;
        }
        Ok(())
    }

    /// Writes a row as if it had been written `ago`.
    pub(crate) async fn old_row(&self, id: &str, row: i64, ago: Duration) -> Result<()> {
        let time = SystemTime::now() - ago;
        let time = time.duration_since(UNIX_EPOCH)?.as_millis();
        let value = row_of(id, row);
        let kafka = &self.kafka;
        kafka
            .produce_at(&topic(id), id, value.as_bytes(), time.try_into()?)
            .await
    }

    /// A `/ws` client that has these positions.
    pub(crate) async fn json(
        &self,
        fanout: Fanout,
        filters: &[&str],
        positions: &Value,
    ) -> Result<JsonClient> {
        let mut client = JsonClient::connect(&fanout.url("/ws?topics=")).await?;
        client.resume(filters, positions).await?;
        Ok(client)
    }

    /// An MQTT.js client that has these positions.
    pub(crate) async fn mqtt(
        &self,
        fanout: Fanout,
        filters: &[&str],
        positions: &[&str],
    ) -> Result<MqttJs> {
        MqttJs::resume(&fanout.url("/mqtt"), filters, positions).await
    }
}

/// The Kafka topic of a game.
pub(crate) fn topic(id: &str) -> String {
    format!("resume.game_{id}")
}

fn row_of(id: &str, row: i64) -> String {
    json!({"game_id": id, "row_id": row}).to_string()
}

/// Awaits the gap that a client is told of, and checks its reason.
pub(crate) async fn gap(client: &JsonClient, partition: &str, reason: &str) -> Result<()> {
    let event = client
        .inbox
        .find_event("a gap", |event| event.get("gap").is_some())
        .await?;
    ensure!(event["reason"] == reason, "{event}");
    ensure!(event["gap"].get(partition).is_some(), "{event}");
    Ok(())
}
