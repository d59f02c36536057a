//! A client of `/ws`.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

use crate::inbox::Inbox;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection to `/ws` and what came over it. Closed when dropped.
pub struct JsonClient {
    /// What was received.
    pub inbox: Inbox,
    sink: SplitSink<Socket, Frame>,
    reader: JoinHandle<()>,
}

impl JsonClient {
    /// Connects to `url`, `ws://127.0.0.1:8081/ws?topics=…`.
    pub async fn connect(url: &str) -> Result<Self> {
        let (socket, _) = connect_async(url)
            .await
            .with_context(|| format!("failed to connect to {url}"))?;
        Ok(Self::new(socket, Arc::default()))
    }

    /// Connects to `url`, reads one frame at most while the guard lives, and has the kernel hold
    /// little of what follows.
    pub async fn connect_held(url: &str) -> Result<(Self, OwnedMutexGuard<()>)> {
        const BUFFER: u32 = 64 * 1024;
        let failed = || format!("failed to connect to {url}");
        let address = url
            .strip_prefix("ws://")
            .and_then(|rest| rest.split('/').next());
        let address = address.with_context(failed)?.parse()?;
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(BUFFER)?;
        let socket = socket.connect(address).await.with_context(failed)?;
        let socket = MaybeTlsStream::Plain(socket);
        let (socket, _) = client_async(url, socket).await.with_context(failed)?;
        let turn = Arc::new(Mutex::default());
        let held = turn.clone().lock_owned().await;
        Ok((Self::new(socket, turn), held))
    }

    fn new(socket: Socket, turn: Arc<Mutex<()>>) -> Self {
        let (sink, stream) = socket.split();
        let inbox = Inbox::default();
        let reader = tokio::spawn(read(stream, inbox.clone(), turn));
        Self {
            inbox,
            sink,
            reader,
        }
    }

    /// Subscribes and awaits the acknowledgement.
    pub async fn subscribe(&mut self, filters: &[&str]) -> Result<()> {
        self.send(&json!({ "subscribe": filters }).to_string())
            .await?;
        self.inbox
            .find_event("the acknowledgement", |event| {
                event.get("subscribed") == Some(&json!(filters))
            })
            .await?;
        Ok(())
    }

    /// Subscribes with positions, asks for more of them, and awaits the acknowledgement.
    pub async fn resume(&mut self, filters: &[&str], positions: &Value) -> Result<()> {
        let command = json!({ "subscribe": filters, "resume": positions });
        self.send(&command.to_string()).await?;
        self.inbox
            .find_event("the acknowledgement", |event| {
                event.get("subscribed") == Some(&json!(filters))
            })
            .await?;
        Ok(())
    }

    /// The newest position of each partition that the server has told.
    pub fn positions(&self) -> Value {
        let mut positions = json!({});
        for message in self.inbox.messages() {
            let told = message.beside["position"].as_object().cloned();
            for (partition, offset) in told.into_iter().flatten() {
                positions[partition] = offset;
            }
        }
        positions
    }

    /// Sends a text frame.
    pub async fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.sink.send(Frame::text(text)).await?)
    }

    /// Sends any frame.
    pub async fn send_frame(&mut self, frame: Frame) -> Result<()> {
        Ok(self.sink.send(frame).await?)
    }
}

impl Drop for JsonClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut stream: SplitStream<Socket>, inbox: Inbox, turn: Arc<Mutex<()>>) {
    let why = loop {
        let frame = stream.next().await;
        drop(turn.lock().await);
        match frame {
            None => break "end of stream".to_owned(),
            Some(Err(error)) => break error.to_string(),
            Some(Ok(Frame::Close(close))) => break format!("{close:?}"),
            Some(Ok(Frame::Text(text))) => match serde_json::from_str::<Value>(&text) {
                Ok(mut frame) => match frame.get("topic").and_then(Value::as_str) {
                    Some(topic) => {
                        let topic = topic.to_owned();
                        let retain = frame.get("retain") == Some(&Value::Bool(true));
                        let payload = frame["payload"].take();
                        inbox.message(&topic, retain, payload, frame);
                    }
                    None => inbox.event(frame),
                },
                Err(error) => break format!("not JSON: {error}: {text}"),
            },
            Some(Ok(_)) => {}
        }
    };
    inbox.end(why);
}
