//! A connection to `/mqtt`, MQTT 5.0.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use mqtt_protocol_core::mqtt::packet::v5_0::{Connect, Publish, Subscribe};
use mqtt_protocol_core::mqtt::packet::{Property, SubEntry, SubOpts, UserProperty};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::client::{FILTERS, Moods};
use super::journal::{Journal, position};

/// The types of packets (MQTT 5.0 section 2.1.2).
const CONNACK: u8 = 0x2;
const PUBLISH: u8 = 0x3;
const SUBACK: u8 = 0x9;
const DISCONNECT: u8 = 0xE;

/// Subscribes and notes what comes until the connection ends.
pub(super) async fn session(host: &str, journal: &Journal, moods: &mut Moods) -> Result<()> {
    let mut request = format!("ws://{host}/mqtt").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", "mqtt".parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let packet = connect()?;
    socket.send(Frame::binary(packet)).await?;
    let mut subscribed = false;
    while let Some(frame) = socket.next().await {
        if let Frame::Binary(packet) = frame? {
            let first = *packet.first().context("an empty frame")?;
            match first >> 4 {
                CONNACK => {
                    ensure!(packet.get(3) == Some(&0), "refused: {packet:?}");
                    if !std::mem::replace(&mut subscribed, true) {
                        let packet = subscribe(journal)?;
                        socket.send(Frame::binary(packet)).await?;
                    }
                }
                PUBLISH => note(first & 0x0F, &packet, journal)?,
                SUBACK if packet.ends_with(&[0; FILTERS.len()]) => {}
                SUBACK => journal.trouble(format!("not granted: {packet:?}")),
                DISCONNECT => bail!("told to go"),
                _ => {}
            }
        }
        moods.stall().await;
    }
    Ok(())
}

fn connect() -> Result<Vec<u8>> {
    let positions = UserProperty::new("positions", "1").map_err(mqtt)?;
    let connect = Connect::builder()
        .client_id("torture")
        .map_err(mqtt)?
        .clean_start(true)
        .props(vec![Property::UserProperty(positions)])
        .build()
        .map_err(mqtt)?;
    Ok(connect.to_continuous_buffer())
}

fn subscribe(journal: &Journal) -> Result<Vec<u8>> {
    let mut properties = Vec::new();
    for (partition, offset) in journal.subscribe() {
        let position = format!("{partition}:{offset}");
        let property = UserProperty::new("position", position).map_err(mqtt)?;
        properties.push(Property::UserProperty(property));
    }
    let mut entries = Vec::new();
    for filter in FILTERS {
        entries.push(SubEntry::new(filter, SubOpts::new()).map_err(mqtt)?);
    }
    let subscribe = Subscribe::builder()
        .packet_id(1_u16)
        .props(properties)
        .entries(entries)
        .build()
        .map_err(mqtt)?;
    Ok(subscribe.to_continuous_buffer())
}

fn note(flags: u8, packet: &[u8], journal: &Journal) -> Result<()> {
    let digits = packet[1..].iter().take_while(|b| **b & 0x80 != 0).count() + 1;
    let body = Arc::from(&packet[1 + digits..]);
    let (publish, _) = Publish::parse(flags, body).map_err(mqtt)?;
    let mut positions = Vec::new();
    for property in publish.props() {
        let Property::UserProperty(property) = property else {
            continue;
        };
        match property.key() {
            "position" => positions.push(position(property.val()).context("a bad position")?),
            "gap" => journal.trouble(format!("a gap: {}", property.val())),
            _ => {}
        }
    }
    let payload = serde_json::from_slice(publish.payload().as_slice())?;
    journal.message(publish.topic_name(), &payload, publish.retain());
    journal.positions(positions);
    Ok(())
}

fn mqtt(error: mqtt_protocol_core::mqtt::result_code::MqttError) -> anyhow::Error {
    anyhow::anyhow!("MQTT: {error:?}")
}
