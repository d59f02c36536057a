//! What comes through Traefik: the page, events, and who a client is.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use e2e::games::{connect, insert};
use e2e::patience::until;
use e2e::{Page, artifacts};
use reqwest::{Client, Response, StatusCode};

use crate::install::KEPT;
use crate::swarm::local;
use crate::world::{CONNECTIONS_PER_ADDRESS, HOST, NODE, PREFIX, World, ingress};

/// Of the addresses of clients, these are not the swarm's.
const ELSEWHERE: usize = 60_000;

pub(crate) async fn chromium_sees_rows_through_the_ingress_over_tls(
    world: &mut World,
) -> Result<()> {
    let flags = [
        &format!("--host-resolver-rules=MAP {HOST} {NODE}"),
        // Signed by itself, as the test's certificate is.
        "--ignore-certificate-errors",
    ];
    let mut page = Page::open_with(&format!("https://{HOST}{PREFIX}/"), &flags).await?;
    let odd = format!("[data-game-id='{KEPT}'] [data-column='odd1']");
    let first = page.text(&odd, None).await?;
    ensure!(first == "1", "the page shows {first}");
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, &format!("game_{KEPT}"), 2, 1).await?;
    let second = page.text(&odd, Some(&first)).await?;
    ensure!(second == "2", "the page shows {second}");
    page.screenshot(&artifacts()?.join("cluster.png")).await
}

pub(crate) async fn events_stream_and_resume_through_the_ingress(world: &mut World) -> Result<()> {
    let client = client(ELSEWHERE)?;
    let mut conn = connect(&world.mysql).await?;
    let mut events = Events::open(&client, None).await?;
    let value = events.odd().await?;
    ensure!(value == "2", "the last value is {value}");
    insert(&mut conn, &format!("game_{KEPT}"), 3, 2).await?;
    ensure!(events.odd().await? == "3");
    let id = events.id.clone();
    ensure!(events.odd().await? == "4");

    // Traefik passes each event on as it comes, and the id of the last one back.
    let mut events = Events::open(&client, Some(&id)).await?;
    ensure!(events.odd().await? == "4", "not where it was");
    Ok(())
}

pub(crate) async fn clients_have_their_own_addresses_behind_the_ingress(
    world: &mut World,
) -> Result<()> {
    let pods = world.pods("fanout").await?.len();
    // Whichever pods Traefik chooses, these are more than all of them take from one address.
    let more = CONNECTIONS_PER_ADDRESS * pods + 1;
    let one = client(ELSEWHERE + 1)?;
    let mut taken = Vec::new();
    let mut refused = 0;
    for _ in 0..more {
        let response = socket(&one, &[]).await?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => taken.push(response),
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            other => anyhow::bail!("{other}"),
        }
    }
    ensure!(
        refused > 0 && taken.len() >= CONNECTIONS_PER_ADDRESS,
        "{refused} refused"
    );

    // Who is refused cannot say to be somebody else: Traefik tells fanout what it sees itself.
    let forged = [("x-forwarded-for", "192.0.2.1"), ("x-real-ip", "192.0.2.1")];
    for _ in 0..more {
        let response = socket(&one, &forged).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            taken.push(response);
        }
    }
    let most = CONNECTIONS_PER_ADDRESS * pods;
    ensure!(taken.len() <= most, "{} of {most} places", taken.len());

    // Others are not concerned, and places that are given back can be taken again.
    let other = socket(&client(ELSEWHERE + 2)?, &[]).await?;
    ensure!(
        other.status() == StatusCode::SWITCHING_PROTOCOLS,
        "{}",
        other.status()
    );
    drop(taken);
    until("a place for the first address", async || {
        let status = socket(&one, &[]).await?.status();
        ensure!(status == StatusCode::SWITCHING_PROTOCOLS, "{status}");
        Ok(())
    })
    .await
}

/// A client that connects from an address of its own, and does not keep connections.
fn client(number: usize) -> Result<Client> {
    let address: SocketAddr = local(number);
    Ok(Client::builder()
        .local_address(address.ip())
        .resolve(HOST, ingress()?)
        .tls_danger_accept_invalid_certs(true)
        .pool_max_idle_per_host(0)
        .http1_only()
        .build()?)
}

/// Asks for a WebSocket. It is closed when the answer is dropped.
async fn socket(client: &Client, headers: &[(&str, &str)]) -> Result<Response> {
    let mut request = client
        .get(format!("https://{HOST}{PREFIX}/ws"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.send().await?)
}

/// An event stream, read line by line.
struct Events {
    response: Response,
    rest: String,
    /// The id of the last event.
    id: String,
}

impl Events {
    async fn open(client: &Client, last: Option<&str>) -> Result<Self> {
        let topic = [("topic", format!("games/{KEPT}"))];
        let url = format!("https://{HOST}{PREFIX}/events");
        let mut request = client.get(reqwest::Url::parse_with_params(&url, topic)?);
        if let Some(id) = last {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await?;
        ensure!(response.status() == StatusCode::OK, "{}", response.status());
        Ok(Self {
            response,
            rest: String::new(),
            id: String::new(),
        })
    }

    /// The `odd1` of the next row.
    async fn odd(&mut self) -> Result<String> {
        loop {
            let event = self.event().await?;
            let field = |name: &str| {
                let line = event.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim_start().to_owned())
            };
            if let Some(id) = field("id:") {
                self.id = id;
            }
            let Some(data) = field("data:") else {
                continue;
            };
            let data: serde_json::Value = serde_json::from_str(&data)?;
            if let Some(odd) = data["payload"]["odd1"].as_str() {
                return Ok(odd.to_owned());
            }
        }
    }

    async fn event(&mut self) -> Result<String> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = event.to_owned();
                self.rest = rest.to_owned();
                return Ok(event);
            }
            let chunk = tokio::time::timeout(e2e::patience::LIMIT, self.response.chunk());
            let chunk = chunk
                .await
                .context("no event")??
                .context("the stream ended")?;
            self.rest.push_str(std::str::from_utf8(&chunk)?);
        }
    }
}
