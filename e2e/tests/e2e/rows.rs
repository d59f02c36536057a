//! Many rows of many games.

use anyhow::{Context, Result, ensure};
use e2e::games::{connect, game, insert, topic};
use e2e::{Fanout, JsonClient, World};
use futures::future::try_join_all;
use serde_json::{Value, json};

const ROWS: usize = 500;

/// Rows that every game gets at a time. Those of all games together are less than `--outbox-bytes`:
/// a client for which this machine has no time is never so slow that it is let go.
const PORTION: usize = 50;

struct Case {
    id: String,
    table: String,
    spec: Value,
}

fn cases() -> Vec<Case> {
    let shared = (1..=17).map(|n| (format!("{}", 5000 + n), "Shared"));
    let hyphenated = [("fla-pal".to_owned(), "Shared")];
    let dedicated = [
        ("solo-1".to_owned(), "Dedicated"),
        ("7777".to_owned(), "Dedicated"),
    ];
    shared
        .chain(hyphenated)
        .chain(dedicated)
        .map(|(id, mode)| Case {
            table: match mode {
                "Shared" => format!("game_{id}"),
                _ => format!("solo_{id}"),
            },
            spec: json!({"connector": {"mode": mode}}),
            id,
        })
        .collect()
}

pub(crate) async fn every_row_of_twenty_games_arrives_once_and_in_order(
    world: &mut World,
) -> Result<()> {
    let cases = cases();
    // Connected before the first game exists.
    let json_client = JsonClient::connect(&Fanout::One.url("/ws")).await?;
    let mqtt = world.mqtt_client(Fanout::Two, &["games/#"]).await?;

    let manifests: Vec<String> = cases.iter().map(|c| game(&c.id, c.spec.clone())).collect();
    world.kubectl.apply(&manifests.join("\n---\n")).await?;
    let each = cases.iter().map(async |case| {
        world.await_ready(&format!("game/{}", case.id)).await?;
        // From the very moment of Ready.
        let mut conn = connect(&world.mysql).await?;
        insert(&mut conn, &case.table, 1, PORTION).await?;
        anyhow::Ok(conn)
    });
    let mut conns = try_join_all(each).await?;
    let inboxes = [&json_client.inbox, &mqtt.inbox];
    for last in (PORTION..=ROWS).step_by(PORTION) {
        for inbox in inboxes {
            for case in &cases {
                inbox.row(&topic(&case.id), last as i64).await?;
            }
        }
        if last < ROWS {
            let each = cases.iter().zip(&mut conns);
            let each = each.map(|(case, conn)| insert(conn, &case.table, last + 1, PORTION));
            try_join_all(each).await?;
        }
    }

    let all: Vec<i64> = (1..).take(ROWS).collect();
    for inbox in inboxes {
        for case in &cases {
            let topic = topic(&case.id);
            let rows = inbox.rows(&topic);
            ensure!(
                rows == all,
                "{topic}: lost, repeated or out of order: {rows:?}; events: {:?}",
                inbox.events()
            );
        }
    }
    for case in &cases {
        let status = world.kubectl.get(&format!("game/{}", case.id)).await?;
        let kafka_topic = status["status"]["kafkaTopic"].as_str().context("a topic")?;
        let rows: Vec<i64> = world
            .kafka
            .records(kafka_topic)
            .await?
            .iter()
            .filter_map(|record| record.value.as_ref()?.get("row_id")?.as_i64())
            .collect();
        ensure!(rows == all, "{kafka_topic}: {} records", rows.len());
    }
    let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    world.discard(&ids).await
}
