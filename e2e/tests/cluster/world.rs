//! A cluster with the images, and what a user does there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use database::{Connections, Databases};
use devstack::{Options, Server, Stack};
use e2e::Kubectl;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::certificate::Certificate;
use crate::figures::Figures;

/// The first port of the servers, which are the cluster's own network's.
const BASE_PORT: u16 = 26_500;

/// The namespaces of the release and of the games.
pub(crate) const RELEASE: &str = "gamecast";
pub(crate) const GAMES: &str = "odds";

/// The host of the Ingress, and the path below which all is served.
pub(crate) const HOST: &str = "odds.test";
pub(crate) const PREFIX: &str = "/live";

/// The node, where Traefik listens.
pub(crate) const NODE: &str = "10.10.0.1";

/// Of how many connections from one address a pod takes.
pub(crate) const CONNECTIONS_PER_ADDRESS: usize = 8;

/// The images of the programs.
pub(crate) const PROGRAMS: [&str; 3] = ["operator", "fanout", "api"];

/// The tags of the images: the version, and what the upgrade goes to.
pub(crate) const TAG: &str = env!("CARGO_PKG_VERSION");
pub(crate) const NEXT_TAG: &str = "next";

/// A cluster. It ends when this is dropped.
pub(crate) struct World {
    pub(crate) kubectl: Kubectl,
    pub(crate) mysql: Connections,
    helm: PathBuf,
    pub(crate) stack: Stack,
    pub(crate) figures: Figures,
    pub(crate) certificate: Certificate,
}

/// The cluster that the tests run in.
pub(crate) fn options() -> Result<Options> {
    let name = std::env::var("GAMECAST_NETWORK");
    let network = name.as_deref().unwrap_or("gamecast-e2e").parse()?;
    Ok(Options {
        progress: true,
        ..Options::ephemeral(BASE_PORT).cluster(network)
    })
}

impl World {
    /// Starts the cluster and gives it the images.
    pub(crate) async fn up(options: Options, figures: Figures) -> Result<Self> {
        let stack = Stack::up(options).await?;
        let endpoints = stack.endpoints();
        let databases = Databases::load(&endpoints.databases)?;
        let world = Self {
            kubectl: Kubectl {
                program: endpoints.kubectl.clone(),
                kubeconfig: endpoints.kubeconfig.clone(),
            },
            mysql: databases.get("default")?.connections()?,
            helm: endpoints.helm.clone().context("a cluster has Helm")?,
            stack,
            figures,
            certificate: Certificate::new(HOST)?,
        };
        world.import(&PROGRAMS).await?;
        for program in PROGRAMS {
            world.tag(program).await?;
        }
        Ok(world)
    }

    /// Gives the cluster images, as `images/build` and `e2e/images/build` make them.
    pub(crate) async fn import(&self, names: &[&str]) -> Result<()> {
        let began = Instant::now();
        let archives: Vec<PathBuf> = names.iter().map(|name| image(name)).collect();
        for archive in &archives {
            let missing = || format!("{} is missing: make e2e-cluster", archive.display());
            ensure!(archive.exists(), missing());
        }
        self.stack.import(&archives).await?;
        let took = began.elapsed().as_secs_f32();
        let figure = format!("images of {} in after {took:.1} s", names.join(", "));
        self.figures.tell(figure);
        Ok(())
    }

    /// Gives the image of `component` a second tag, for the upgrade.
    async fn tag(&self, component: &str) -> Result<()> {
        let socket = self.stack.log(Server::Containerd);
        let socket = socket.with_file_name("containerd.sock");
        let image = format!("docker.io/gamecast/{component}");
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(socket);
        ctr.args(["--namespace", "k8s.io", "images", "tag", "--force"]);
        ctr.args([format!("{image}:{TAG}"), format!("{image}:{NEXT_TAG}")]);
        output(&mut ctr).await.map(drop)
    }

    /// Runs helm with `arguments`, words as in a shell without quotes.
    pub(crate) async fn helm(&self, arguments: &str) -> Result<String> {
        let mut helm = Command::new(&self.helm);
        helm.args(arguments.split_whitespace())
            .env("KUBECONFIG", &self.kubectl.kubeconfig);
        output(&mut helm).await
    }

    /// The values of the release: the defaults, and what an installer must decide.
    pub(crate) fn values(&self) -> Value {
        let secrets = self.stack.endpoints().secrets.join("connect");
        let debezium = format!("${{directory:{}:debezium-password}}", secrets.display());
        let mut values = public();
        values["kafka"] = json!({"bootstrapServers": "kafka.backends:9092"});
        values["connect"] = json!({"url": "http://connect.backends:8083"});
        values["databases"] = json!({"default": {
            "host": "mysql.backends",
            "schema": self.stack.endpoints().mysql.schema,
            "operator": {"passwordSecret": {"name": "mysql-passwords", "key": "operator"}},
            "api": {"passwordSecret": {"name": "mysql-passwords", "key": "api"}},
            "connector": {"passwordReference": debezium},
        }});
        values["api"] = json!({"namespace": GAMES});
        values
    }

    /// Makes the namespaces, the Secrets and the certificate that the values name.
    pub(crate) async fn prepare(&self) -> Result<()> {
        let mysql = &self.stack.endpoints().mysql;
        let connect = self.stack.endpoints().secrets.join("connect");
        let secret = |name: &str, kind: &str, data: Value| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": kind,
                "metadata": {"name": name, "namespace": RELEASE}, "stringData": data,
            })
        };
        let namespace = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {
                    "name": name,
                    "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                },
            })
        };
        let passwords = json!({
            "operator": std::fs::read_to_string(&mysql.operator_password_file)?,
            "api": std::fs::read_to_string(&mysql.api_password_file)?,
            "debezium": std::fs::read_to_string(connect.join("debezium-password"))?,
        });
        for object in [
            namespace(RELEASE),
            namespace(GAMES),
            secret("mysql-passwords", "Opaque", passwords),
            secret("certificate", "kubernetes.io/tls", self.certificate.data()),
        ] {
            self.kubectl.apply(&object.to_string()).await?;
        }
        Ok(())
    }

    /// `helm upgrade --install` with `values`, until all pods are ready.
    pub(crate) async fn release(&self, values: &Value) -> Result<()> {
        let file = e2e::artifacts()?.join("cluster-values.json");
        std::fs::write(&file, values.to_string())?;
        let chart = repository().join("charts/gamecast");
        let command = format!(
            "upgrade --install {RELEASE} {} --namespace {RELEASE} --values {} --wait --timeout 5m",
            chart.display(),
            file.display()
        );
        if let Err(error) = self.helm(&command).await {
            let describe = format!("describe pods -n {RELEASE}");
            let pods = self.kubectl.run(&describe).await.unwrap_or_default();
            bail!("{error:#}\n{pods}");
        }
        Ok(())
    }

    /// The pods of a component that are not about to end: name, uid, and restarts.
    pub(crate) async fn pods(&self, component: &str) -> Result<Vec<Pod>> {
        let selector = format!("app.kubernetes.io/component={component}");
        let list = format!("pods -n {RELEASE} -l {selector}");
        let list = self.kubectl.get(&list).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let living = items
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(living
            .map(|pod| Pod {
                name: text(&pod["metadata"]["name"]),
                uid: text(&pod["metadata"]["uid"]),
                restarts: pod["status"]["containerStatuses"][0]["restartCount"].as_u64(),
            })
            .collect())
    }

    /// A pod's answer to a GET on its admin port.
    pub(crate) async fn admin(&self, pod: &str, port: u16, path: &str) -> Result<String> {
        let url = format!("/api/v1/namespaces/{RELEASE}/pods/{pod}:{port}/proxy{path}");
        self.kubectl.run(&format!("get --raw {url}")).await
    }

    /// The connections of a fanout pod, by the metric that scaling goes by.
    pub(crate) async fn connections(&self, pod: &Pod) -> Result<usize> {
        let metrics = self.admin(&pod.name, 9081, "/metrics").await?;
        let lines = metrics.lines().filter(|line| {
            let rest = line.strip_prefix("gamecast_connections");
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        // A line for each protocol, which an adapter sums as well.
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        let sum = values.reduce(|sum, value| sum + value);
        sum.context("no such metric")
    }
}

/// A pod, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) restarts: Option<u64>,
}

/// The values that say who reaches the release, and how.
pub(crate) fn public() -> Value {
    json!({
        "fanout": {
            // Pods see Traefik, a process of the node, at the first address of their range.
            "trustedProxies": ["10.244.0.1/32"],
            "maxConnectionsPerAddress": CONNECTIONS_PER_ADDRESS,
        },
        "public": {"pathPrefix": PREFIX},
        "ingress": {
            "enabled": true,
            "className": "traefik",
            "host": HOST,
            "tls": {"enabled": true, "secretName": "certificate"},
        },
    })
}

/// Where clients connect.
pub(crate) fn ingress() -> Result<SocketAddr> {
    Ok(format!("{NODE}:443").parse()?)
}

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The archive of an image of this build.
fn image(component: &str) -> PathBuf {
    // target/debug/deps/cluster-…
    let program = std::env::current_exe().unwrap_or_default();
    let profile = program
        .ancestors()
        .nth(2)
        .map(PathBuf::from)
        .unwrap_or_default();
    let name = profile.file_name().map(PathBuf::from).unwrap_or_default();
    let images = profile.with_file_name("images").join(name);
    images.join(format!("{component}.tar"))
}

async fn output(command: &mut Command) -> Result<String> {
    let output = command.kill_on_drop(true).output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {text}{error}");
    }
    Ok(text)
}
