//! How long a subscription to very much holds its worker, whose other clients wait meanwhile.
//!
//! Measured on the hub alone, without sockets: a worker does this work in portions, and turns to
//! others after each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use fanout::hub::{Capacity, Census, Event, Hub, Message, Options, Origin, Places, RouteId};
use route::{Records, Route, TopicFilter};

use super::record::Stamp;

/// How long each portion took of counting what `filter` matches among `topics` topics, of
/// subscribing to it, and of walking through their last values.
///
/// # Errors
/// When the route or the filter is none.
pub fn portions(topics: u32, filter: &str) -> Result<Vec<Duration>> {
    const CLIENT: u32 = 0;
    let template = "games/{game_id}".parse()?;
    let route = Route::new("wide", "e", template, Records::Plain)?;
    let origin = Origin::new(RouteId(0), &"Feed/bench/wide".parse()?, Arc::new(route));
    let origin = Arc::new(origin);
    let capacity = Capacity {
        ring_bytes: 0,
        places: Places::default(),
    };
    // Nobody resumes here.
    let (answers, _) = tokio::sync::mpsc::unbounded_channel();
    let mut hub = Hub::new(capacity, answers);
    let mut body = Vec::new();
    for game in 0..topics {
        let stamp = Stamp { game, n: 1, at: 0 };
        stamp.write(200, &mut body);
        let (topic, at) = (format!("games/{game}"), (0, game.into()));
        let (payload, key) = (body.clone().into(), game.to_string().into());
        let message = Message::new(topic, payload, key, origin.clone(), at, 0);
        hub.apply(&Event::Record(Arc::new(message)), &mut |_, _, _, _| true);
    }
    let filter: TopicFilter = filter.parse()?;
    let mut portions = Vec::new();
    let mut time = |work: &mut dyn FnMut() -> bool| {
        let begin = Instant::now();
        let more = work();
        portions.push(begin.elapsed());
        more
    };
    let mut census = Census::new(filter.clone());
    while !time(&mut || hub.count(&mut census)) {}
    let options = Options {
        snapshot: true,
        ..Options::default()
    };
    time(&mut || {
        hub.subscribe(CLIENT, vec![(filter.clone(), options)]);
        true
    });
    let mut seen = 0;
    while time(&mut || {
        hub.walk(CLIENT, |_| {
            seen += 1;
            true
        })
    }) {}
    anyhow::ensure!(seen == topics, "{seen} of {topics} last values came");
    Ok(portions)
}
