//! What is counted. Labels are static names, so their number is bounded.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::close::Close;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Protocol {
    pub protocol: &'static str,
}

impl Protocol {
    pub const JSON: Self = Self { protocol: "json" };
    pub const MQTT: Self = Self { protocol: "mqtt" };
    pub const EVENTS: Self = Self { protocol: "sse" };

    const ALL: [Self; 3] = [Self::JSON, Self::MQTT, Self::EVENTS];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CloseCode {
    pub code: u16,
    pub reason: &'static str,
}

/// The process's metrics, shared by all threads.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub connections: Family<Protocol, Gauge>,
    pub opened: Family<Protocol, Counter>,
    pub refused: Family<Reason, Counter>,
    pub closes: Family<CloseCode, Counter>,
    pub subscriptions: Gauge,
    pub subscribe_timeouts: Counter,
    pub filters_refused: Family<Reason, Counter>,
    pub delivered: Family<Protocol, Counter>,
    pub oversized: Counter,
    pub sent_bytes: Counter,
    pub records: Family<Outcome, Counter>,
    pub conflated: Counter,
    pub routes: Gauge,
    pub routes_refused: Family<Reason, Counter>,
    pub partitions: Gauge,
    pub fetch_gather: Gauge<f64, AtomicU64>,
    pub loads: Family<Outcome, Counter>,
    pub load_seconds: Histogram,
    pub lag: Gauge,
    pub kafka_errors: Family<Reason, Counter>,
    pub gaps: Family<Reason, Counter>,
    pub catching_up: Gauge,
    pub catch_up_reads: Family<Outcome, Counter>,
    pub catch_up_records: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connections: Family::default(),
            opened: Family::default(),
            refused: Family::default(),
            closes: Family::default(),
            subscriptions: Gauge::default(),
            subscribe_timeouts: Counter::default(),
            filters_refused: Family::default(),
            delivered: Family::default(),
            oversized: Counter::default(),
            sent_bytes: Counter::default(),
            records: Family::default(),
            conflated: Counter::default(),
            routes: Gauge::default(),
            routes_refused: Family::default(),
            partitions: Gauge::default(),
            fetch_gather: Gauge::default(),
            loads: Family::default(),
            load_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            lag: Gauge::default(),
            kafka_errors: Family::default(),
            gaps: Family::default(),
            catching_up: Gauge::default(),
            catch_up_reads: Family::default(),
            catch_up_records: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers everything below the prefix `gamecast`.
    pub fn register(&self, registry: &mut Registry) {
        // Told before there are any: of a pod that tells none, the autoscaler knows nothing.
        for protocol in Protocol::ALL {
            drop(self.connections.get_or_create(&protocol));
        }
        let registry = registry.sub_registry_with_prefix("gamecast");
        registry.register(
            "connections",
            "Clients connected now",
            self.connections.clone(),
        );
        registry.register(
            "connections_opened",
            "WebSocket upgrades and event streams",
            self.opened.clone(),
        );
        registry.register(
            "connections_refused",
            "Requests that opened no connection, by reason",
            self.refused.clone(),
        );
        registry.register(
            "connections_closed",
            "Connections that ended, by close code",
            self.closes.clone(),
        );
        registry.register(
            "subscriptions",
            "Filters that clients are subscribed to now",
            self.subscriptions.clone(),
        );
        registry.register(
            "subscribe_timeouts",
            "Subscribes acknowledged before all of their topics were live",
            self.subscribe_timeouts.clone(),
        );
        registry.register(
            "filters_refused",
            "Filters that clients asked for and may not have, by reason",
            self.filters_refused.clone(),
        );
        registry.register(
            "messages_delivered",
            "Messages put into clients' outboxes",
            self.delivered.clone(),
        );
        registry.register(
            "messages_oversized",
            "Messages not sent because of a client's Maximum Packet Size",
            self.oversized.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Bytes written to clients' sockets",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        registry.register(
            "records",
            "Kafka records read, by what became of them",
            self.records.clone(),
        );
        registry.register(
            "messages_conflated",
            "Messages of conflated routes that a later one has replaced before they were sent",
            self.conflated.clone(),
        );
        registry.register("routes", "Routes served now", self.routes.clone());
        registry.register(
            "routes_refused",
            "Records of the routes topic that are not served, by reason",
            self.routes_refused.clone(),
        );
        registry.register(
            "partitions_assigned",
            "Kafka partitions consumed now",
            self.partitions.clone(),
        );
        registry.register_with_unit(
            "fetch_gather",
            "How long a fetch waits for more records than one",
            Unit::Seconds,
            self.fetch_gather.clone(),
        );
        registry.register(
            "topic_loads",
            "Readings of a Kafka topic's last values, by outcome",
            self.loads.clone(),
        );
        registry.register_with_unit(
            "topic_load",
            "Time from wanting a Kafka topic to its last values",
            Unit::Seconds,
            self.load_seconds.clone(),
        );
        registry.register(
            "consumer_lag_records",
            "Records in the consumed partitions that have yet to be read, as of the last look",
            self.lag.clone(),
        );
        registry.register(
            "kafka_errors",
            "Errors of the Kafka client, by kind",
            self.kafka_errors.clone(),
        );
        registry.register(
            "resume_gaps",
            "Partitions that a client could not resume, by reason",
            self.gaps.clone(),
        );
        registry.register(
            "catching_up",
            "Partitions that clients catch up with from Kafka now, one for each client",
            self.catching_up.clone(),
        );
        registry.register(
            "catch_up_reads",
            "Readings of a Kafka partition for those who resume, by outcome",
            self.catch_up_reads.clone(),
        );
        registry.register(
            "catch_up_records",
            "Kafka records read for those who resume",
            self.catch_up_records.clone(),
        );
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn closed(&self, close: Close) {
        let label = CloseCode {
            code: close.code,
            reason: close.name,
        };
        self.closes.get_or_create(&label).inc();
    }

    pub(crate) fn kafka_error(&self, reason: &'static str) {
        self.kafka_errors.get_or_create(&Reason { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_pod_without_clients_says_that_it_has_none() {
        let mut registry = Registry::default();
        Metrics::default().register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for protocol in ["json", "mqtt", "sse"] {
            let line = format!("gamecast_connections{{protocol=\"{protocol}\"}} 0\n");
            assert!(text.contains(&line), "{text}");
        }
    }
}
