//! The stack on its real servers. Each test has ports of its own, and what it starts ends with it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use devstack::{Endpoints, Error, Guest, Member, MySqlRelease, Options, Server, Stack, State};
use kube::config::{KubeConfigOptions, Kubeconfig};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

/// How long a condition may take to become true.
const LIMIT: Duration = Duration::from_secs(60);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::test]
async fn every_server_answers_stays_over_a_second_up_and_ends_with_down() -> Result<(), Failure> {
    let stack = Stack::up(Options::ephemeral(30_000)).await?;
    let pids = pids(&stack);
    assert_eq!(pids.len(), Server::WITHOUT_NODE.len());
    for status in stack.status().await? {
        assert_eq!(status.state, State::Ready, "{status:?}");
        assert!(status.resident_kib > Some(1024), "{status:?}");
    }
    kubernetes_answers(stack.endpoints()).await?;
    mysql_grants_what_each_account_needs(stack.endpoints()).await?;
    connect_resolves_the_password(stack.endpoints()).await?;

    // Somebody else runs `up` on the same folder, then `down`.
    let mut again = Options::ephemeral(30_000);
    again.ephemeral = false;
    let again = Stack::up(again).await?;
    assert_eq!(self::pids(&again), pids);
    again.down().await?;
    for status in stack.status().await? {
        assert_eq!(status.state, State::Stopped, "{status:?}");
    }
    for pid in pids.values() {
        let process = format!("/proc/{pid}");
        eventually(async || !Path::new(&process).exists()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn kafka_keeps_its_records_over_a_crash() -> Result<(), Failure> {
    let stack = Stack::up(Options::ephemeral(30_100).only([Server::Kafka])).await?;
    assert_eq!(pids(&stack).len(), 1);
    let kafka = stack.endpoints().kafka.clone();
    create_topic(&kafka, "kept").await?;
    produce(&kafka, "kept").await?;

    stack.kill(Server::Kafka).await?;
    assert_eq!(stack.pid(Server::Kafka), None);
    assert_eq!(state(&stack, Server::Kafka).await, State::Crashed);

    stack.start(Server::Kafka).await?;
    assert_eq!(state(&stack, Server::Kafka).await, State::Ready);
    assert_eq!(end_of_topic(&kafka, "kept").await?, 1);

    // A wish for a topic does not make one.
    assert!(produce(&kafka, "missing").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_server_freezes_and_goes_on() -> Result<(), Failure> {
    let stack = Stack::up(Options::ephemeral(30_200).only([Server::Etcd])).await?;
    let pid = stack.pid(Server::Etcd);
    stack.freeze(Server::Etcd)?;
    eventually(async || state(&stack, Server::Etcd).await == State::Frozen).await?;
    stack.thaw(Server::Etcd)?;
    eventually(async || state(&stack, Server::Etcd).await == State::Ready).await?;
    assert_eq!(stack.pid(Server::Etcd), pid);

    stack.restart(Server::Etcd).await?;
    assert_ne!(stack.pid(Server::Etcd), pid);
    stack.stop(Server::Etcd).await?;
    let Err(Error::NotRunning(Server::Etcd)) = stack.freeze(Server::Etcd) else {
        panic!("froze what does not run");
    };
    Ok(())
}

#[tokio::test]
async fn a_stale_pid_file_harms_nobody() -> Result<(), Failure> {
    let stack = Stack::up(Options::ephemeral(30_300).only([Server::Etcd])).await?;
    let file = stack.log(Server::Etcd).with_file_name("pid");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    stack.stop(Server::Etcd).await?;

    // The id of etcd was given to another program since.
    let mut bystander = tokio::process::Command::new("sleep")
        .arg("600")
        .kill_on_drop(true)
        .spawn()?;
    record["pid"] = json!(bystander.id());
    std::fs::write(&file, record.to_string())?;
    assert_eq!(stack.pid(Server::Etcd), None);
    assert_eq!(state(&stack, Server::Etcd).await, State::Crashed);

    stack.kill(Server::Etcd).await?;
    stack.start(Server::Etcd).await?;
    stack.down().await?;
    assert_eq!(bystander.try_wait()?, None, "the bystander was ended");
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() -> Result<(), Failure> {
    let _squatter = TcpListener::bind(("127.0.0.1", 30_406))?;
    let result = Stack::up(Options::ephemeral(30_400).only([Server::Etcd])).await;
    let Err(Error::PortTaken { member, port }) = result else {
        panic!("{result:?}");
    };
    assert_eq!((member, port), (Server::Etcd.into(), 30_406));
    Ok(())
}

#[tokio::test]
async fn other_ports_need_a_down_first() -> Result<(), Failure> {
    let options = Options::ephemeral(30_500).only([Server::Etcd]);
    let _stack = Stack::up(options.clone()).await?;
    let mut other = options;
    other.ephemeral = false;
    other.ports.etcd += 50;
    let result = Stack::up(other).await;
    assert!(matches!(result, Err(Error::OtherPorts(_))), "{result:?}");
    Ok(())
}

#[tokio::test]
async fn data_is_kept_from_another_mysql() -> Result<(), Failure> {
    let mut options = Options::ephemeral(30_700).only([Server::MySql]);
    options.mysql = MySqlRelease::V8;
    let stack = Stack::up(options.clone()).await?;
    stack.down().await?;
    options.ephemeral = false;
    options.mysql = MySqlRelease::Newest;
    let result = Stack::up(options).await;
    let Err(Error::OtherMySql { is, .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(is, MySqlRelease::V8);
    Ok(())
}

#[tokio::test]
async fn a_program_beside_the_servers_is_replaced_and_ends_with_them() -> Result<(), Failure> {
    let stack = Stack::up(Options::ephemeral(30_600).only([])).await?;
    let python = |port: u16| Guest {
        port: None,
        ready: format!("http://127.0.0.1:{port}/").parse().ok(),
        ..guest("web", &format!("python3 -m http.server {port}"))
    };
    let web = python(30_650);
    let name = Member::Guest(web.name.clone());
    stack.run(&web).await?;
    let first = pid(&stack, &name).await?;

    // Another start is another process, on the port that the first one had.
    stack.run(&web).await?;
    let second = pid(&stack, &name).await?;
    assert_ne!(first, second);
    assert!(!Path::new(&format!("/proc/{first}")).exists());
    assert_eq!(state(&stack, name.clone()).await, State::Ready);

    // A stranger's port is not taken for the program's own.
    let _squatter = TcpListener::bind(("127.0.0.1", 30_651))?;
    let result = stack.run(&python(30_651)).await;
    assert!(
        matches!(result, Err(Error::PortTaken { port: 30_651, .. })),
        "{result:?}"
    );

    // What ends before it is ready is told with what it said.
    let failing = Guest {
        ready: web.ready.clone(),
        ..guest("failing", "ls /no/such/file")
    };
    let result = stack.run(&failing).await;
    let Err(Error::Ended { tail, .. }) = result else {
        panic!("{result:?}");
    };
    assert!(tail.contains("/no/such/file"), "{tail}");
    let result = stack.run(&guest("missing", "no-such-program")).await;
    assert!(matches!(result, Err(Error::NoProgram(_))), "{result:?}");

    stack.run(&guest("sleeper", "sleep 600")).await?;
    let sleeper = Member::Guest("sleeper".parse()?);
    assert_eq!(state(&stack, sleeper.clone()).await, State::Running);
    let sleeper = pid(&stack, &sleeper).await?;
    stack.down().await?;
    assert_eq!(stack.status().await?, []);
    assert!(!Path::new(&format!("/proc/{sleeper}")).exists());
    Ok(())
}

async fn kubernetes_answers(endpoints: &Endpoints) -> Result<(), Failure> {
    let kubeconfig = Kubeconfig::read_from(&endpoints.kubeconfig)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    let version = kube::Client::try_from(config)?.apiserver_version().await?;

    let output = tokio::process::Command::new(&endpoints.kubectl)
        .env("KUBECONFIG", &endpoints.kubeconfig)
        .args(["version", "--output", "json"])
        .output()
        .await?;
    let seen: Value = serde_json::from_slice(&output.stdout)?;
    for side in ["clientVersion", "serverVersion"] {
        assert_eq!(seen[side]["gitVersion"], version.git_version, "{side}");
    }
    Ok(())
}

async fn mysql_grants_what_each_account_needs(endpoints: &Endpoints) -> Result<(), Failure> {
    let mysql = &endpoints.mysql;
    let log_in = async |user: &str, password_file: &Path| {
        let options = OptsBuilder::default()
            .ip_or_hostname(&mysql.host)
            .tcp_port(mysql.port)
            .user(Some(user))
            .pass(Some(std::fs::read_to_string(password_file)?))
            .db_name(Some(&mysql.schema))
            .prefer_socket(false);
        Ok::<_, Failure>(Conn::new(options).await?)
    };
    let mut operator = log_in("gamecast_operator", &mysql.operator_password_file).await?;
    operator
        .query_drop("CREATE TABLE t (id INT PRIMARY KEY)")
        .await?;
    operator.query_drop("SHOW BINARY LOGS").await?;

    let mut api = log_in("gamecast_api", &mysql.api_password_file).await?;
    api.query_drop("INSERT INTO t VALUES (7)").await?;
    assert_eq!(operator.query_first("SELECT id FROM t").await?, Some(7));
    for refused in ["SELECT id FROM t", "DELETE FROM t", "DROP TABLE t"] {
        assert!(api.query_drop(refused).await.is_err(), "{refused}");
    }
    operator.query_drop("DROP TABLE t").await?;

    // Nobody is let in without a password.
    let nobody = tempfile::NamedTempFile::new()?;
    assert!(log_in("root", nobody.path()).await.is_err());
    let mut root = log_in("root", &mysql.root_password_file).await?;
    root.query_drop("FLUSH BINARY LOGS").await?;
    Ok(())
}

/// Asks Debezium to check a configuration, for which it logs in to MySQL.
async fn connect_resolves_the_password(endpoints: &Endpoints) -> Result<(), Failure> {
    let class = "io.debezium.connector.mysql.MySqlConnector";
    let url = format!(
        "{}/connector-plugins/{class}/config/validate",
        endpoints.connect
    );
    let secrets = endpoints.secrets.display();
    let errors = async |reference: String| {
        let config = json!({
            "name": "check",
            "connector.class": class,
            "database.hostname": endpoints.mysql.host,
            "database.port": endpoints.mysql.port.to_string(),
            "database.user": "debezium",
            "database.password": reference,
            "database.server.id": "40000",
            "topic.prefix": "check",
            "schema.history.internal.kafka.bootstrap.servers": endpoints.kafka,
            "schema.history.internal.kafka.topic": "check",
        });
        let response = reqwest::Client::new()
            .put(&url)
            .json(&config)
            .send()
            .await?;
        let verdict: Value = response.json().await?;
        Ok::<_, Failure>(verdict)
    };
    let verdict = errors(format!(
        "${{directory:{secrets}/connect:debezium-password}}"
    ))
    .await?;
    assert_eq!(verdict["error_count"], 0, "{verdict}");
    // The other passwords are none of Connect's business.
    let verdict = errors(format!("${{directory:{secrets}:root-password}}")).await?;
    assert_ne!(verdict["error_count"], 0, "{verdict}");
    Ok(())
}

async fn create_topic(kafka: &str, topic: &str) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = client(kafka).create()?;
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    for result in admin.create_topics(&[topic], &AdminOptions::new()).await? {
        result.map_err(|(topic, error)| format!("{topic}: {error}"))?;
    }
    Ok(())
}

async fn produce(kafka: &str, topic: &str) -> Result<(), Failure> {
    let producer: FutureProducer = client(kafka).set("acks", "all").create()?;
    let record = FutureRecord::to(topic).key("key").payload("value");
    match producer.send(record, LIMIT).await {
        Ok(_) => Ok(()),
        Err((error, _)) => Err(error.into()),
    }
}

/// The offset of the next record of partition 0.
async fn end_of_topic(kafka: &str, topic: &'static str) -> Result<i64, Failure> {
    let consumer: BaseConsumer = client(kafka).create()?;
    let fetch = move || consumer.fetch_watermarks(topic, 0, LIMIT);
    Ok(tokio::task::spawn_blocking(fetch).await??.1)
}

fn client(kafka: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka);
    // A topic that is missing is missing: it is not waited for.
    config.set("topic.metadata.propagation.max.ms", "100");
    config
}

fn pids(stack: &Stack) -> BTreeMap<Server, i32> {
    let running = |server| Some((server, stack.pid(server)?));
    Server::ALL.into_iter().filter_map(running).collect()
}

/// A program without a port, of a line of words.
fn guest(name: &str, line: &str) -> Guest {
    let mut words = line.split(' ').map(Into::into);
    Guest {
        name: name.parse().expect("a name"),
        ready: None,
        port: None,
        env: Vec::new(),
        program: words.next().unwrap_or_default(),
        args: words.collect(),
    }
}

async fn pid(stack: &Stack, member: &Member) -> Result<i32, Failure> {
    let status = stack.status().await?;
    let found = status.into_iter().find(|status| status.member == *member);
    Ok(found
        .and_then(|status| status.pid)
        .ok_or("it does not run")?)
}

async fn state(stack: &Stack, member: impl Into<Member>) -> State {
    let status = stack.status().await.unwrap_or_default();
    let member = member.into();
    let found = status.iter().find(|status| status.member == member);
    found.map_or(State::Stopped, |status| status.state)
}

/// Waits until `condition` holds.
async fn eventually(condition: impl AsyncFn() -> bool) -> Result<(), Failure> {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(tokio::time::timeout(LIMIT, wait).await?)
}
