//! Secured servers, two MySQLs, and Gamecast on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::id;

use anyhow::{Context, Result, ensure};
use database::{Connections, Databases};
use devstack::{Options, Secured, Server, Stack};
use e2e::games::{game, topic};
use e2e::patience::{LIMIT, until};
use e2e::{JsonClient, Kubectl, Program, artifacts};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};
use reqwest::Certificate;
use serde_json::{Value, json};

const BASE_PORT: u16 = 26_000;
const OPERATOR_ADMIN: u16 = BASE_PORT + 20;
const FANOUT: u16 = BASE_PORT + 21;
const FANOUT_ADMIN: u16 = BASE_PORT + 22;
const API: u16 = BASE_PORT + 23;
const API_ADMIN: u16 = BASE_PORT + 24;

/// The second MySQL, whose games are in a schema of another name.
const SECOND_PORT: u16 = 26_100;
const SECOND_SCHEMA: &str = "moreodds";

pub(crate) struct World {
    // Fields are dropped in this order: programs before the servers they use.
    pub(crate) operator: Program,
    pub(crate) fanout: Program,
    pub(crate) api: Program,
    pub(crate) kubectl: Kubectl,
    /// The default database, as the operator's account sees it.
    pub(crate) mysql: Connections,
    /// The database `second`.
    pub(crate) second: Connections,
    pub(crate) stack: Stack,
    pub(crate) second_stack: Stack,
    /// Every secret there was.
    secrets: Vec<String>,
}

impl World {
    pub(crate) async fn up() -> Result<Self> {
        let options = Options {
            progress: true,
            secured: true,
            ..Options::ephemeral(BASE_PORT)
        };
        let second = Options {
            progress: true,
            secured: true,
            schema: SECOND_SCHEMA.into(),
            ..Options::ephemeral(SECOND_PORT).only([Server::MySql])
        };
        let stack = Stack::up(options).await?;
        let second_stack = Stack::up(second).await?;
        let endpoints = stack.endpoints();
        let kubectl = Kubectl {
            program: endpoints.kubectl.clone(),
            kubeconfig: endpoints.kubeconfig.clone(),
        };
        kubectl.install_crds().await?;
        let both = both_databases(&stack, &second_stack)?;
        let databases = Databases::load(&both.operator)?;
        let logs = artifacts()?.join("security-logs");
        if logs.exists() {
            fs::remove_dir_all(&logs)?;
        }
        fs::create_dir_all(&logs)?;
        let mut world = Self {
            operator: operator(&logs, &stack, &both.operator)?,
            fanout: fanout(&logs, &stack)?,
            api: api(&logs, &stack, &both.api)?,
            kubectl,
            mysql: databases.get("default")?.connections()?,
            second: databases.get("second")?.connections()?,
            secrets: secrets(&[&stack, &second_stack])?,
            stack,
            second_stack,
        };
        for program in [&mut world.operator, &mut world.fanout, &mut world.api] {
            program.start()?;
        }
        for program in [&mut world.operator, &mut world.fanout, &mut world.api] {
            program.ready().await?;
        }
        Ok(world)
    }

    pub(crate) fn secured(&self) -> &Secured {
        let secured = self.stack.endpoints().secured.as_ref();
        secured.expect("the stack is secured")
    }

    /// Every secret there was.
    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// A password that nobody has had.
    pub(crate) fn new_password(&mut self) -> String {
        let password = format!("{:032x}", rand::random::<u128>());
        self.secrets.push(password.clone());
        password
    }

    /// The process ids of operator, fanout and api.
    pub(crate) fn pids(&self) -> [Option<u32>; 3] {
        [self.operator.pid(), self.fanout.pid(), self.api.pid()]
    }

    /// Applies the game `id` and awaits that it is Ready.
    pub(crate) async fn ready_game(&self, id: &str, spec: Value) -> Result<()> {
        self.kubectl.apply(&game(id, spec)).await?;
        self.await_ready(id).await
    }

    pub(crate) async fn await_ready(&self, id: &str) -> Result<()> {
        let limit = LIMIT.as_secs();
        let wait = format!("wait --for=condition=Ready game/{id} --timeout={limit}s");
        if let Err(error) = self.kubectl.run(&wait).await {
            let status = self.kubectl.get(&format!("game/{id}")).await?;
            return Err(error.context(status["status"].to_string()));
        }
        Ok(())
    }

    /// The condition `kind` of a game, once `wanted` is true for it.
    pub(crate) async fn condition(
        &self,
        id: &str,
        kind: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(&format!("{kind} of {id}"), async || {
            let found = self.kubectl.get(&format!("game/{id}")).await?;
            let conditions = found["status"]["conditions"].as_array().cloned();
            let condition = conditions
                .unwrap_or_default()
                .into_iter()
                .find(|condition| condition["type"] == kind)
                .context("no such condition")?;
            ensure!(wanted(&condition), "it is {condition}");
            Ok(condition)
        })
        .await
    }

    /// A `/ws` client of the games `ids`.
    pub(crate) async fn client(&self, ids: &[&str]) -> Result<JsonClient> {
        let url = format!("ws://127.0.0.1:{FANOUT}/ws?topics=");
        let topics: Vec<String> = ids.iter().map(|id| topic(id)).collect();
        let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
        let mut client = JsonClient::connect(&url).await?;
        client.subscribe(&filters).await?;
        Ok(client)
    }

    /// Sends odds of the game `id` by the api; the number of the row that became of them.
    pub(crate) async fn send(&self, id: &str) -> Result<i64> {
        let url = format!("http://127.0.0.1:{API}/games/{id}/odds");
        until(&format!("the api to take odds of {id}"), async || {
            let request = reqwest::Client::new()
                .post(&url)
                .json(&json!({"odd1": "1.5"}));
            let answer: Value = request.send().await?.error_for_status()?.json().await?;
            answer["row_id"].as_i64().context("no row_id")
        })
        .await
    }

    /// Shows that odds that are sent by the api come to a subscriber.
    pub(crate) async fn streams(&self, id: &str) -> Result<()> {
        let client = self.client(&[id]).await?;
        let row = self.send(id).await?;
        client.inbox.row(&topic(id), row).await.map(drop)
    }

    /// An administrator's connection to a stack's MySQL.
    pub(crate) async fn root(&self, stack: &Stack) -> Result<Conn> {
        let mysql = &stack.endpoints().mysql;
        let secured = stack.endpoints().secured.as_ref();
        let ca = secured.context("the stack is secured")?.ca_file.clone();
        let options = OptsBuilder::default()
            .ip_or_hostname(mysql.host.clone())
            .tcp_port(mysql.port)
            .user(Some("root"))
            .pass(Some(fs::read_to_string(&mysql.root_password_file)?))
            .ssl_opts(Some(SslOpts::default().with_root_certs(vec![ca.into()])))
            .prefer_socket(false);
        Ok(Conn::new(options).await?)
    }

    /// Gives an account of the default MySQL another password, and ends its connections.
    pub(crate) async fn alter(&self, user: &str, password: &str) -> Result<()> {
        let mut root = self.root(&self.stack).await?;
        // As Gamecast's users do it, who have MySQL's default plugin.
        root.query_drop(format!(
            "ALTER USER '{user}'@'%' IDENTIFIED BY '{password}'"
        ))
        .await?;
        let own = format!("SELECT id FROM information_schema.processlist WHERE user = '{user}'");
        for id in root.query::<u64, _>(own).await? {
            // One that has gone meanwhile is no loss.
            let _ = root.query_drop(format!("KILL {id}")).await;
        }
        Ok(root.disconnect().await?)
    }

    /// A GET of Connect's REST interface, as the operator's account.
    pub(crate) async fn connect_get(&self, path: &str) -> Result<reqwest::Response> {
        let password = fs::read_to_string(&self.secured().connect_password_file)?;
        let url = format!("{}{path}", self.stack.endpoints().connect);
        let request = self.https()?.get(url);
        Ok(request
            .basic_auth("gamecast_operator", Some(password))
            .send()
            .await?)
    }

    /// A client that trusts the servers.
    pub(crate) fn https(&self) -> Result<reqwest::Client> {
        let pem = fs::read(&self.secured().ca_file)?;
        let certs = Certificate::from_pem_bundle(&pem)?;
        Ok(reqwest::Client::builder().tls_certs_only(certs).build()?)
    }

    /// A metric of the operator, the sum over all labels; 0 where it is not shown yet.
    pub(crate) async fn operator_metric(&self, name: &str) -> Result<f64> {
        let text = get_text(&format!("http://127.0.0.1:{OPERATOR_ADMIN}/metrics")).await?;
        let values = text.lines().filter(|line| line.starts_with(name));
        let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// The metrics of all programs.
    pub(crate) async fn metrics(&self) -> Result<String> {
        let mut all = String::new();
        for port in [OPERATOR_ADMIN, FANOUT_ADMIN, API_ADMIN] {
            all += &get_text(&format!("http://127.0.0.1:{port}/metrics")).await?;
        }
        Ok(all)
    }
}

/// Writes a secret as kubelet does: another file takes the place of the old one.
pub(crate) fn swap(path: &Path, secret: &str) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, secret)?;
    Ok(fs::rename(part, path)?)
}

async fn get_text(url: &str) -> Result<String> {
    Ok(reqwest::get(url).await?.error_for_status()?.text().await?)
}

fn secrets(stacks: &[&Stack]) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    for stack in stacks {
        let folder = &stack.endpoints().secrets;
        for folder in [folder.clone(), folder.join("connect")] {
            for file in fs::read_dir(folder)? {
                let path = file?.path();
                if path.file_name().is_some_and(|name| {
                    name.to_str()
                        .is_some_and(|name| name.ends_with("-password"))
                }) {
                    secrets.push(fs::read_to_string(path)?);
                }
            }
        }
    }
    ensure!(secrets.len() >= 10, "the secrets are not found");
    Ok(secrets)
}

/// The databases files with both servers.
struct Both {
    operator: PathBuf,
    api: PathBuf,
}

fn both_databases(first: &Stack, second: &Stack) -> Result<Both> {
    let (one, two) = (first.endpoints(), second.endpoints());
    // Connect reads secrets in one folder only.
    let (own, other) = (one.secrets.join("connect"), two.secrets.join("connect"));
    for name in ["debezium-password", "stores-password"] {
        fs::copy(other.join(name), own.join(format!("second-{name}")))?;
    }
    let folder = one.secrets.join(format!("databases-{}", id()));
    fs::create_dir_all(&folder)?;
    let merge = |name: &str, one: &Path, two: &Path| -> Result<PathBuf> {
        let two = fs::read_to_string(two)?
            .replace("databases:\n", "")
            .replace("  default:", "  second:")
            .replace("serverIdBase: 40000", "serverIdBase: 60000")
            .replace(&other.display().to_string(), &own.display().to_string())
            .replace(":debezium-password", ":second-debezium-password")
            .replace(":stores-password", ":second-stores-password");
        let path = folder.join(name);
        fs::write(&path, fs::read_to_string(one)? + &two)?;
        Ok(path)
    };
    Ok(Both {
        operator: merge("operator.yaml", &one.databases, &two.databases)?,
        api: merge("api.yaml", &one.api_databases, &two.api_databases)?,
    })
}

fn operator(logs: &Path, stack: &Stack, databases: &Path) -> Result<Program> {
    let endpoints = stack.endpoints();
    let secured = endpoints.secured.as_ref().context("a secured stack")?;
    let ready = format!("http://127.0.0.1:{OPERATOR_ADMIN}/readyz");
    let operator = Program::new("operator", "operator", logs, ready)?
        .variable("KUBECONFIG", &endpoints.kubeconfig)
        .flag("--databases", databases.display())
        .flag("--connect-url", &endpoints.connect)
        .flag("--connect-ca-file", secured.ca_file.display())
        .flag("--connect-username", "gamecast_operator")
        .flag(
            "--connect-password-file",
            secured.connect_password_file.display(),
        )
        .flag(
            "--connect-kafka-client-config",
            secured.kafka_client_config.display(),
        )
        .flag("--admin-listen", format!("127.0.0.1:{OPERATOR_ADMIN}"))
        // Short, so that nothing waits a minute to be put right.
        .flag("--resync-interval", "3s")
        .flag("--topic-check-interval", "1s")
        .flag("--marker-timeout", "3s")
        .flag("--commit-timeout", "5s")
        .flag(
            "--log",
            "debug,librdkafka=debug,rdkafka=debug,h2=info,hyper_util=info",
        );
    let password = &secured.kafka_operator_password_file;
    Ok(kafka(
        operator,
        stack,
        "SCRAM-SHA-512",
        "gamecast_operator",
        password,
    ))
}

fn fanout(logs: &Path, stack: &Stack) -> Result<Program> {
    let secured = stack.endpoints().secured.as_ref();
    let password = &secured
        .context("a secured stack")?
        .kafka_fanout_password_file;
    let ready = format!("http://127.0.0.1:{FANOUT_ADMIN}/readyz");
    let fanout = Program::new("fanout", "fanout", logs, ready)?
        .flag("--listen", format!("127.0.0.1:{FANOUT}"))
        .flag("--admin-listen", format!("127.0.0.1:{FANOUT_ADMIN}"))
        .flag("--log", "debug");
    Ok(kafka(
        fanout,
        stack,
        "SCRAM-SHA-256",
        "gamecast_fanout",
        password,
    ))
}

/// The flags of Kafka, which are the same for both programs.
fn kafka(program: Program, stack: &Stack, mechanism: &str, user: &str, file: &Path) -> Program {
    let endpoints = stack.endpoints();
    let ca = endpoints.secured.as_ref().map(|secured| &secured.ca_file);
    program
        .flag("--kafka-bootstrap-servers", &endpoints.kafka)
        .flag("--kafka-security-protocol", "SASL_SSL")
        .flag(
            "--kafka-ca-file",
            ca.map_or_else(String::new, |ca| ca.display().to_string()),
        )
        .flag("--kafka-sasl-mechanism", mechanism)
        .flag("--kafka-sasl-username", user)
        .flag("--kafka-sasl-password-file", file.display())
}

fn api(logs: &Path, stack: &Stack, databases: &Path) -> Result<Program> {
    let ready = format!("http://127.0.0.1:{API_ADMIN}/readyz");
    Ok(Program::new("api", "api", logs, ready)?
        .argument("serve")
        .variable("KUBECONFIG", &stack.endpoints().kubeconfig)
        .flag("--databases", databases.display())
        .flag("--listen", format!("127.0.0.1:{API}"))
        .flag("--admin-listen", format!("127.0.0.1:{API_ADMIN}"))
        .flag("--log", "debug"))
}
