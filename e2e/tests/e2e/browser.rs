//! What Chromium's own EventSource and WebSocket make of the server.

use anyhow::{Result, ensure};
use e2e::games::{connect, insert};
use e2e::{Fanout, Page, World};
use serde_json::{Value, json};

/// Opens a page of the second fanout's origin, which the first one allows, and begins to keep what
/// `source` receives. The page only tells that there is none, and asks nothing of what it connects
/// to: the board's own may connect to nothing but its WebSocket.
async fn listen(source: &str) -> Result<Page> {
    let mut page = Page::open(&Fanout::Two.http_url("/")).await?;
    page.evaluate(&format!(
        "{{
            const source = {source};
            const got = [], waiting = [];
            source.onmessage = (event) => {{
                const message = JSON.parse(event.data);
                waiting.length ? waiting.shift()(message) : got.push(message);
            }};
            window.source = source;
            window.next = () => got.length ? got.shift() : new Promise((r) => waiting.push(r));
        }}"
    ))
    .await?;
    Ok(page)
}

/// The `odd1` of the next message that has one.
async fn next_odd(page: &mut Page, topic: &str) -> Result<Value> {
    loop {
        let mut message = page.evaluate("window.next()").await?;
        if message["topic"] == topic && message["payload"]["odd1"].is_string() {
            return Ok(message["payload"]["odd1"].take());
        }
    }
}

pub(crate) async fn an_event_source_gets_last_values_and_the_stream(
    world: &mut World,
) -> Result<()> {
    world.ready_game("81", json!({})).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_81", 1, 1).await?;
    let url = Fanout::One.http_url("/events?topic=games/81");
    let mut page = listen(&format!("new EventSource('{url}')")).await?;
    ensure!(next_odd(&mut page, "games/81").await? == "1");
    insert(&mut conn, "game_81", 2, 3).await?;
    for odd in ["2", "3", "4"] {
        ensure!(next_odd(&mut page, "games/81").await? == odd);
    }

    // The browser connects again by itself, with the id of the last event, and misses nothing.
    world.fanout.kill().await?;
    insert(&mut conn, "game_81", 5, 3).await?;
    world.fanout.start_ready().await?;
    for odd in ["5", "6", "7"] {
        ensure!(next_odd(&mut page, "games/81").await? == odd);
    }
    world.discard(&["81"]).await
}

pub(crate) async fn a_websocket_is_compressed_both_ways(world: &mut World) -> Result<()> {
    world.ready_game("82", json!({})).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_82", 1, 1).await?;
    let url = Fanout::Two.url("/ws?topics=");
    let mut page = listen(&format!("new WebSocket('{url}')")).await?;
    let opened = "new Promise((resolve) => { source.onopen = () => resolve(source.extensions); \
         if (source.readyState === 1) resolve(source.extensions); })";
    let extensions = page.evaluate(opened).await?;
    ensure!(
        extensions == "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "{extensions}"
    );
    // Chromium compresses what it sends.
    page.evaluate(r#"source.send('{"subscribe":["games/82","games/82","games/82"]}')"#)
        .await?;
    let answer = page.evaluate("window.next()").await?;
    ensure!(answer["subscribed"][2] == "games/82", "{answer}");
    ensure!(next_odd(&mut page, "games/82").await? == "1");
    insert(&mut conn, "game_82", 2, 20).await?;
    for odd in 2..22 {
        ensure!(next_odd(&mut page, "games/82").await? == odd.to_string());
    }
    world.discard(&["82"]).await
}
