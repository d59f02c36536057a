//! The cluster: it runs pods, and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test ends with a panic when it fails")]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use devstack::{Error, Network, Options, Server, Stack};
use nix::unistd::Uid;
use serde_json::Value;
use tokio::runtime::Runtime;

/// How long a condition may take to become true.
const LIMIT: Duration = Duration::from_secs(60);

const NETWORK: &str = "gamecast-devstack-test";

/// Two pods of the only image that a new cluster has.
const DEPLOYMENT: &str = r#"{
  "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "idle"},
  "spec": {
    "replicas": 2,
    "selector": {"matchLabels": {"app": "idle"}},
    "template": {
      "metadata": {"labels": {"app": "idle"}},
      "spec": {"containers": [
        {"name": "idle", "image": "localhost/pause:1", "imagePullPolicy": "Never"}
      ]}
    }
  }
}"#;

#[test]
fn pods_run_outlive_kubelet_return_with_the_cluster_and_leave_nothing() {
    if !Uid::effective().is_root() {
        println!("skipped: a cluster takes root");
        return;
    }
    let network: Network = NETWORK.parse().unwrap();
    let mut options = Options::ephemeral(30_700).cluster(network.clone());
    // Whoever else uses the folder does not end the cluster before it is ended here.
    options.ephemeral = false;
    options.servers.retain(|server| {
        // Of the servers that pods use, one is enough here.
        !matches!(server, Server::Kafka | Server::Connect)
    });
    let before = machine(&options.dir);
    Runtime::new().unwrap().block_on(async {
        Stack::install(&options).await.unwrap();
        let outside = Stack::up(options.clone()).await;
        assert!(
            matches!(outside, Err(Error::OutsideNetwork(_))),
            "{outside:?}"
        );
    });

    inside(&network, async || {
        let stack = Stack::up(options.clone()).await.unwrap();
        fs::write(options.dir.join("deployment.json"), DEPLOYMENT).unwrap();
        let file = options.dir.join("deployment.json");
        kubectl(&stack, &["apply", "--filename", file.to_str().unwrap()]);
        await_pods(&stack, 0);

        // A Service leads to a server on the node, and Traefik answers, if only that it has nothing.
        TcpStream::connect("10.96.0.11:3306").unwrap();
        let client = reqwest::Client::builder();
        let client = client
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        let response = client.get("https://10.10.0.1/").send().await.unwrap();
        assert_eq!(response.status(), 404);

        let pids = containers();
        assert_eq!(
            pids.len(),
            4,
            "a container and a pause for each pod: {pids:?}"
        );
        stack.restart(Server::Kubelet).await.unwrap();
        stack.restart(Server::Containerd).await.unwrap();
        await_pods(&stack, 0);
        assert_eq!(containers(), pids);
        stack.down().await.unwrap();
    });
    assert_eq!(machine(&options.dir), before);

    // As after a power cut: the same pods again.
    inside(&network, async || {
        let stack = Stack::up(options.clone()).await.unwrap();
        await_pods(&stack, 1);
        // Not ended in order this time.
        for server in Server::ALL {
            stack.kill(server).await.unwrap();
        }
        assert_eq!(containers().len(), 4);
        stack.down().await.unwrap();
    });
    assert_eq!(machine(&options.dir), before);
    fs::remove_dir_all(&options.dir).unwrap();
}

/// Runs `work` in the network. Each time in a new thread: who was in a network that is removed does
/// not come into the next one of its name.
fn inside(network: &Network, work: impl AsyncFnOnce() + Send) {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            network.enter().unwrap();
            Runtime::new().unwrap().block_on(work());
        });
        thread.join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// What a cluster changes on the machine outside of its folder, and its mounts and processes.
fn machine(folder: &Path) -> Vec<(&'static str, Vec<String>)> {
    let folder = folder.display().to_string();
    let list = |path: &str| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.path().display().to_string())
            .collect();
        names.sort();
        names
    };
    let own = |path: &str| -> Vec<String> {
        let mut own = list(path);
        own.retain(|name| name.contains(NETWORK));
        own
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(&folder));
    let sysctls = [
        "vm/overcommit_memory",
        "kernel/panic",
        "kernel/panic_on_oops",
    ];
    let processes = list("/proc").into_iter().filter(|process| {
        let words = fs::read(format!("{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(&folder)
    });
    let links = list("/var/log/containers")
        .into_iter()
        .filter(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(&folder)));
    vec![
        ("mounts", mounts.map(str::to_owned).collect()),
        ("networks", own("/run/netns")),
        (
            "control groups",
            cgroups().iter().map(|c| c.display().to_string()).collect(),
        ),
        (
            "settings",
            sysctls
                .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap())
                .into(),
        ),
        ("processes", processes.collect()),
        ("log links", links.collect()),
        ("shims", list("/run/containerd/s")),
        ("CNI's notes", list("/var/lib/cni/results")),
    ]
}

fn cgroups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let folders = fs::read_dir(root)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let candidates = folders
        .chain([root.to_owned()])
        .map(|folder| folder.join(NETWORK));
    candidates.filter(|cgroup| cgroup.exists()).collect()
}

/// The processes of the cluster's containers.
fn containers() -> Vec<String> {
    fn below(cgroup: &Path) -> Vec<String> {
        let pids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        let mut pids: Vec<String> = pids.lines().map(str::to_owned).collect();
        for entry in fs::read_dir(cgroup).unwrap().flatten() {
            if entry.path().is_dir() {
                pids.extend(below(&entry.path()));
            }
        }
        pids
    }
    let mut pids: Vec<String> = cgroups().iter().flat_map(|cgroup| below(cgroup)).collect();
    pids.sort();
    // Each is in one control group of each hierarchy.
    pids.dedup();
    pids
}

/// Waits until both pods run and their containers were restarted `restarts` times.
fn await_pods(stack: &Stack, restarts: u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let pods = kubectl(stack, &["get", "pods", "--output", "json"]);
        let pods: Value = serde_json::from_str(&pods).unwrap();
        let statuses = pods["items"].as_array().unwrap().iter().map(|pod| {
            let container = &pod["status"]["containerStatuses"][0];
            (
                container["ready"].as_bool(),
                container["restartCount"].as_u64(),
            )
        });
        let statuses: Vec<_> = statuses.collect();
        if statuses == [(Some(true), Some(restarts)); 2] {
            return;
        }
        assert!(Instant::now() < deadline, "{statuses:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn kubectl(stack: &Stack, words: &[&str]) -> String {
    let endpoints = stack.endpoints();
    let output = Command::new(&endpoints.kubectl)
        .env("KUBECONFIG", &endpoints.kubeconfig)
        .args(words)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}
