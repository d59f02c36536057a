//! The end of a server.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::events::Events;
use support::{Client, Harness, PATIENCE, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;

/// So long that no more than the first client of a worker is told by itself.
const FOREVER: Duration = Duration::from_secs(1_000_000);

/// Waits until nobody listens at `address`.
async fn await_closed(address: SocketAddr) {
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.unwrap();
}

#[tokio::test]
async fn clients_are_told_one_by_one_and_the_others_are_served() {
    let mut settings = settings();
    settings.workers = NonZeroUsize::MIN;
    settings.drain_period = FOREVER;
    let mut harness = Harness::start(settings).await;
    let mut first = harness.json("/ws?topics=").await;
    let mut second = harness.json("/ws?topics=a").await;
    harness.interest().await;
    harness.settle("a").await;
    harness.publish("a", "1").await;
    assert_eq!(second.json().await["payload"], 1);

    harness.ending.drain.cancel();
    assert_eq!(first.close_code().await, 1012);
    harness.publish("a", "2").await;
    assert_eq!(second.json().await["payload"], 2);
    await_closed(harness.address).await;
    assert!(!harness.ended.is_finished());

    harness.ending.now.cancel();
    assert_eq!(second.close_code().await, 1012);
    drop((first, second));
    timeout(PATIENCE, harness.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_waits_is_sent_before_the_goodbye() {
    let mut settings = settings();
    settings.limits.outbox_bytes = 1 << 26;
    let mut harness = Harness::start(settings).await;
    let mut json = harness.json("/ws?topics=a").await;
    harness.interest().await;
    let mut events = Events::get(harness.address, "/events?topic=a", "").await;
    events.next().await.unwrap();
    harness.interest().await;
    harness.settle("a").await;
    harness.publish("a", "0").await;
    assert_eq!(json.json().await["payload"], 0);
    assert!(events.next().await.unwrap().data.contains(":0"));

    // More than the kernel's buffers hold.
    let payload = format!("\"{}\"", "x".repeat(100_000));
    let count = 200;
    for _ in 0..count {
        harness.publish("a", &payload).await;
    }
    harness.publish("a", "1").await;
    harness.ending.drain.cancel();
    for _ in 0..count {
        json.json().await;
        events.next().await.unwrap();
    }
    assert_eq!(json.json().await["payload"], 1);
    assert_eq!(json.close_code().await, 1012);
    assert!(events.next().await.unwrap().data.contains(":1}"));
    assert_eq!(events.next().await.unwrap().name, "close");
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody() {
    let mut settings = settings();
    settings.limits.outbox_bytes = 1 << 26;
    let mut harness = Harness::start(settings).await;
    let _stuck = harness.json("/ws?topics=a").await;
    harness.interest().await;
    let _waiting = TcpStream::connect(harness.address).await.unwrap();
    harness.settle("a").await;
    let payload = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..200 {
        harness.publish("a", &payload).await;
    }
    harness.ending.drain.cancel();
    // A client may take what waits for it for 5 seconds, and then has one to leave.
    timeout(2 * PATIENCE, harness.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn nobody_is_taken_in_any_more() {
    let mut settings = settings();
    settings.drain_period = FOREVER;
    settings.workers = NonZeroUsize::MIN;
    settings.limits.handshake = PATIENCE;
    let harness = Harness::start(settings).await;
    let mut others = vec![harness.json("/ws?topics=").await];
    others.push(harness.json("/ws?topics=").await);
    let mut socket = TcpStream::connect(harness.address).await.unwrap();
    socket.write_all(b"GET /events HTTP/1.1\r\n").await.unwrap();
    harness.ending.drain.cancel();
    // Half a request is no reason to stay.
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"");
}

/// The program itself, without Kafka: it waits for it, not ready, and serves clients.
struct Program {
    child: Child,
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Program {
    async fn start() -> Self {
        let [clients, admin] = [(); 2].map(|()| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        });
        let child = Command::new(env!("CARGO_BIN_EXE_fanout"))
            .args(["--listen", &clients.to_string()])
            .args(["--admin-listen", &admin.to_string()])
            .args(["--kafka-bootstrap-servers", "127.0.0.1:1"])
            .args(["--workers", "1", "--drain-period", "1h"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let program = Self {
            child,
            clients,
            admin,
        };
        let listens = async { while TcpStream::connect(clients).await.is_err() {} };
        timeout(PATIENCE, listens).await.unwrap();
        program
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, Signal::SIGTERM).unwrap();
    }

    async fn readyz(&self) -> String {
        let mut socket = TcpStream::connect(self.admin).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_terminated_process_drains_and_a_second_signal_ends_it() {
    let mut program = Program::start().await;
    let url = format!("ws://{}/ws?topics=", program.clients);
    let mut first = Client::connect(&url, None).await;
    let mut second = Client::connect(&url, None).await;
    program.terminate();
    assert_eq!(first.close_code().await, 1012);
    let answer = program.readyz().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("shutdown: draining\n"), "{answer}");
    await_closed(program.clients).await;
    second.say(Frame::text("{}")).await;
    assert_eq!(second.json().await["error"]["code"], "UnknownCommand");

    program.terminate();
    let status = tokio::task::spawn_blocking(move || program.child.wait());
    let status = timeout(PATIENCE, status).await.unwrap().unwrap().unwrap();
    assert_eq!(status.code(), Some(128 + 15));
}
