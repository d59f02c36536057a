//! The odds board in Chromium.

use anyhow::Result;
use e2e::{Page, World, artifacts};
use serde_json::{Value, json};

pub(crate) async fn a_browser_shows_odds_changes_and_new_games(world: &mut World) -> Result<()> {
    let http = reqwest::Client::new();
    world
        .ready_game("123121", json!({"displayName": "Flamengo x Palmeiras"}))
        .await?;
    let mut page = Page::open(&world.api_url("/")).await?;
    let send = world.api_url("/sendodd/123121");

    let send_odds = async || -> reqwest::Result<Value> {
        let sent = http.post(&send).send().await?;
        sent.error_for_status()?.json().await
    };

    let sent = send_odds().await?;
    anyhow::ensure!(
        sent["game_id"] == "123121" && sent["odd5"].is_number(),
        "{sent}"
    );
    let odd = "[data-game-id='123121'] [data-column='odd1']";
    let first = page.text(odd, None).await?;
    anyhow::ensure!(
        first.parse::<f64>().ok() == sent["odd1"].as_f64(),
        "the page shows {first}, sent was {sent}"
    );

    // Random odds may repeat themselves: send until they differ.
    loop {
        let sent = send_odds().await?;
        if sent["odd1"].as_f64() != first.parse().ok() {
            break;
        }
    }
    page.text(odd, Some(&first)).await?;

    let body = json!({"displayName": "Corinthians x Santos"});
    let create = http.post(world.api_url("/games/123120")).json(&body);
    create.send().await?.error_for_status()?;
    let name = "[data-game-id='123120']";
    let card = page.text(name, None).await?;
    anyhow::ensure!(card.contains("Corinthians x Santos"), "{card}");
    page.screenshot(&artifacts()?.join("board.png")).await?;
    world.await_ready("game/123120").await?;
    world.discard(&["123121", "123120"]).await
}
