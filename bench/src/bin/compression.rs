//! `make bench-compression`: what compressing a message costs and saves.
//!
//! Single-threaded, in CPU time of this thread; each message is another one, as records are.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use fanout::hub::{Delivery, Message, Origin, RouteId, Wire};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use route::{Records, Route};

/// Messages of each kind and repetition.
const MESSAGES: usize = 20_000;

/// Repetitions, of which the median is printed.
const REPETITIONS: usize = 5;

const WIRE: Wire = Wire::Json { positions: false };

/// To all subscribers alike.
const LIVE: Delivery<'static> = Delivery {
    retain: false,
    identifiers: &[],
    position: false,
    gap: None,
    ends: &[],
};

fn main() -> Result<()> {
    let route = Route::new("t", "e", "games/{game_id}".parse()?, Records::Plain)?;
    let key = "Feed/default/bench".parse()?;
    let origin = Arc::new(Origin::new(RouteId(1), &key, Arc::new(route)));
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| record | message, bytes | compressed | ratio | CPU-us per message |"
    )?;
    writeln!(out, "|---|---|---|---|---|")?;
    for (name, bytes) in [
        ("odds", 0),
        ("1 KB of markets", 1000),
        ("2 KB of markets", 2000),
    ] {
        let mut costs = Vec::new();
        let (mut plain, mut small) = (0, 0);
        for _ in 0..REPETITIONS {
            let messages: Vec<Message> =
                (0..MESSAGES).map(|n| message(&origin, n, bytes)).collect();
            plain = messages.iter().map(frame_bytes).sum::<usize>();
            let begun = cpu_us()?;
            small = messages
                .iter()
                .map(|message| {
                    let deflated = message.deflated(WIRE, LIVE);
                    deflated.map_or_else(|| frame_bytes(message), Bytes::len)
                })
                .sum::<usize>();
            costs.push((cpu_us()? - begun) as f64 / MESSAGES as f64);
        }
        costs.sort_by(f64::total_cmp);
        writeln!(
            out,
            "| {name} | {} | {} | {:.2} | {:.1} |",
            plain / MESSAGES,
            small / MESSAGES,
            small as f64 / plain as f64,
            costs[REPETITIONS / 2],
        )?;
    }
    Ok(())
}

/// The `n`-th row of a game: its odds, and as many markets as make `bytes`.
fn message(origin: &Arc<Origin>, n: usize, bytes: usize) -> Message {
    let odd = |prime: usize| format!("{}.{:02}", 1 + n % 7, (n * prime) % 97);
    let mut row = format!(
        r#"{{"row_id":{n},"game_id":"123121","odd1":"{}","odd2":"{}","odd3":"{}","odd4":"{}","odd5":"{}","created_at":"2026-03-01T18:{:02}:{:02}.{:03}Z""#,
        odd(3),
        odd(5),
        odd(7),
        odd(11),
        odd(13),
        n / 60 % 60,
        n % 60,
        n * 37 % 1000,
    );
    let mut market = 0;
    while row.len() < bytes {
        let price = odd(market + 17);
        row +=
            &format!(r#","market{market}":{{"name":"Over/Under {market}.5","price":"{price}"}}"#);
        market += 1;
    }
    row.push('}');
    let payload = Bytes::from(row);
    Message::new(
        "games/123121",
        payload,
        Bytes::new(),
        origin.clone(),
        (0, n as i64),
        0,
    )
}

/// The plain frame's length: its header, and the object around the payload.
fn frame_bytes(message: &Message) -> usize {
    let around = r#"{"topic":"","payload":}"#.len() + message.topic().len();
    let length = around + message.payload().len();
    length + if length < 126 { 2 } else { 4 }
}

fn cpu_us() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).context("failed to read the CPU time")?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}
