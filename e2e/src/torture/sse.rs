//! A connection to `/events`, as a browser's EventSource keeps it.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::client::{FILTERS, Moods};
use super::journal::{Journal, position};

/// One event in the making (WHATWG HTML, 9.2.6).
#[derive(Default)]
struct Event {
    name: String,
    data: String,
    id: Option<String>,
}

/// Subscribes and notes what comes until the connection ends.
pub(super) async fn session(host: &str, journal: &Journal, moods: &mut Moods) -> Result<()> {
    let topics = FILTERS.map(|filter| ("topic", filter));
    let url = reqwest::Url::parse_with_params(&format!("http://{host}/events"), topics)?;
    let since = journal.subscribe();
    let mut request = reqwest::Client::new().get(url);
    if !since.is_empty() {
        let positions = since.iter().map(|(p, offset)| format!("{p}:{offset}"));
        let id = positions.collect::<Vec<_>>().join(",");
        request = request.header("Last-Event-ID", id);
    }
    let mut response = request.send().await?;
    ensure!(response.status() == 200, "{}", response.status());
    let mut rest = Vec::new();
    let mut event = Event::default();
    while let Some(chunk) = response.chunk().await? {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = std::str::from_utf8(&line)?.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                note(std::mem::take(&mut event), journal)?;
            } else if let Some((field, value)) = line.split_once(':') {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => event.name = value.into(),
                    "id" => event.id = Some(value.into()),
                    "data" => event.data.push_str(value),
                    _ => {}
                }
            }
        }
        moods.stall().await;
    }
    Ok(())
}

fn note(event: Event, journal: &Journal) -> Result<()> {
    match event.name.as_str() {
        "" | "message" if !event.data.is_empty() => {
            let frame: Value = serde_json::from_str(&event.data)?;
            let topic = frame["topic"].as_str().unwrap_or_default();
            journal.message(topic, &frame["payload"], frame["retain"] == true);
        }
        "gap" => journal.trouble(event.data),
        _ => {}
    }
    if let Some(id) = event.id {
        journal.positions(id.split(',').filter_map(position));
    }
    Ok(())
}
