//! Flags and environment variables.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use clap::Parser;
use service::PathPrefix;
use service::telemetry::Format;

use crate::kafka::catchup::CatchUpLimits;
use crate::server::{
    AddressHeader, AllowOrigin, EventStreams, Limits, Proxies, ResumeLimits, Settings, TrustedProxy,
};
use crate::topics;

kafkaclient::flags!("GAMECAST_FANOUT_");

/// Streams Kafka topics to browsers: JSON over WebSocket at /ws, MQTT over WebSocket at /mqtt,
/// Server-Sent Events at /events.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Args {
    /// Where clients connect.
    #[arg(long, env = "GAMECAST_FANOUT_LISTEN", default_value = "0.0.0.0:8081")]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are served. Not for the internet.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_ADMIN_LISTEN",
        default_value = "0.0.0.0:9081"
    )]
    pub admin_listen: SocketAddr,

    /// The path below which clients connect, as in /live for /live/ws, where an ingress has more than
    /// this on its host and does not rewrite paths.
    #[arg(long, env = "GAMECAST_FANOUT_PATH_PREFIX", default_value = "")]
    pub path_prefix: PathPrefix,

    /// The Kafka brokers to begin with, host:port separated by commas.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_KAFKA_BOOTSTRAP_SERVERS",
        default_value = "localhost:29092"
    )]
    pub kafka_bootstrap_servers: String,

    #[command(flatten)]
    pub kafka: KafkaFlags,

    /// The compacted Kafka topic that tells what is served.
    #[arg(long, env = "GAMECAST_FANOUT_ROUTES_TOPIC", default_value = route::ROUTES_TOPIC)]
    pub routes_topic: String,

    /// Threads that own connections [default: one per core].
    #[arg(long, env = "GAMECAST_FANOUT_WORKERS")]
    pub workers: Option<NonZeroUsize>,

    /// An origin whose pages may connect, as in https://odds.example.com; * for every origin.
    /// Pages of fanout's own host always may, and so may clients that send no Origin. Repeatable.
    #[arg(long, env = "GAMECAST_FANOUT_ALLOW_ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<AllowOrigin>,

    /// A proxy whose word counts on whose connection it passes on: an address, or a network as in
    /// 10.0.0.0/8. Without one, an address is the other end of the socket. Repeatable.
    #[arg(long, env = "GAMECAST_FANOUT_TRUSTED_PROXY", value_delimiter = ',')]
    pub trusted_proxy: Vec<TrustedProxy>,

    /// The header in which trusted proxies say it. The other one is whatever the client has written.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_ADDRESS_HEADER",
        default_value = "x-forwarded-for"
    )]
    pub address_header: AddressHeader,

    /// How many clients may be connected.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_MAX_CONNECTIONS",
        default_value_t = 50_000
    )]
    pub max_connections: usize,

    /// How many of them from one address, or one /64 of IPv6 [default: no limit]. Behind a proxy
    /// it needs --trusted-proxy, or all clients are one.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_CONNECTIONS_PER_ADDRESS")]
    pub max_connections_per_address: Option<NonZeroU32>,

    /// How long a client that was not taken in is to wait before it comes back: a random time
    /// between this and twice this.
    #[arg(long, env = "GAMECAST_FANOUT_FULL_RETRY", default_value = "10s", value_parser = humantime::parse_duration)]
    pub full_retry: Duration,

    /// How many bytes may wait for one client before it is closed as too slow.
    #[arg(long, env = "GAMECAST_FANOUT_OUTBOX_BYTES", default_value_t = 256 * 1024)]
    pub outbox_bytes: usize,

    /// How many bytes that are not sent yet the kernel may hold for one client (TCP_NOTSENT_LOWAT).
    /// What it holds is the older the more it is, and cannot be replaced by later values.
    #[arg(long, env = "GAMECAST_FANOUT_UNSENT_BYTES", default_value_t = 16 * 1024)]
    pub unsent_bytes: u32,

    /// The size of the kernel's send buffer of one client in bytes (SO_SNDBUF, which the kernel
    /// doubles). It also bounds what is sent and not acknowledged, and so the speed over long
    /// distances [default: the kernel adapts it].
    #[arg(long, env = "GAMECAST_FANOUT_SEND_BUFFER_BYTES")]
    pub send_buffer_bytes: Option<usize>,

    /// The largest message that a client may send, in bytes.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_MESSAGE_BYTES", default_value_t = 64 * 1024)]
    pub max_message_bytes: usize,

    /// How many bytes a client may send per second; at once, two of the largest messages.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_MAX_INBOUND_BYTES",
        default_value = "16384"
    )]
    pub max_inbound_bytes: NonZeroU32,

    /// How many messages a client may send per second; at once, those of four seconds.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_MAX_INBOUND_MESSAGES",
        default_value = "50"
    )]
    pub max_inbound_messages: NonZeroU32,

    /// The largest record that is served, in bytes; at most half of --outbox-bytes.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_RECORD_BYTES", default_value_t = 128 * 1024)]
    pub max_record_bytes: usize,

    /// How many filters one client may be subscribed to.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_MAX_SUBSCRIPTIONS",
        default_value_t = 1000
    )]
    pub max_subscriptions: usize,

    /// How many filters one client may subscribe to per second; at once, --max-subscriptions.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_SUBSCRIBES", default_value = "100")]
    pub max_subscribes: NonZeroU32,

    /// How many topics the wildcards of one client may match, counted when it subscribes.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_MATCHES", default_value_t = 100_000)]
    pub max_matches: usize,

    /// How many bytes the last values of those topics may have.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_SNAPSHOT_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub max_snapshot_bytes: usize,

    /// How many levels a filter may have: games/+/odds has three.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_FILTER_LEVELS", default_value_t = 16)]
    pub max_filter_levels: usize,

    /// The longest MQTT Keep Alive, 1s to 65535s. A 5.0 client that asks for longer, or for none,
    /// is given this; a 3.1.1 client cannot be told and keeps its own. A client is gone when
    /// nothing comes from it for one and a half times its Keep Alive.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_KEEP_ALIVE", default_value = "60s", value_parser = parse_keep_alive)]
    pub max_keep_alive: u16,

    /// How long a client may take, from the first packet of TCP, to complete its request, and on
    /// /mqtt to send CONNECT.
    #[arg(long, env = "GAMECAST_FANOUT_HANDSHAKE_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub handshake_timeout: Duration,

    /// How long a subscribe waits for Kafka before it is acknowledged without it. Topics that are
    /// live already are not waited for.
    #[arg(long, env = "GAMECAST_FANOUT_SUBSCRIBE_TIMEOUT", default_value = "5s", value_parser = humantime::parse_duration)]
    pub subscribe_timeout: Duration,

    /// How long a client may give no sign of life. A WebSocket's client is sent a ping after half of
    /// it; an event stream's reader has to take what it is sent.
    #[arg(long, env = "GAMECAST_FANOUT_IDLE_TIMEOUT", default_value = "90s", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,

    /// Compress WebSocket messages of clients that offer permessage-deflate. Saves bandwidth, costs
    /// CPU: see bench/README.md.
    #[arg(long, env = "GAMECAST_FANOUT_COMPRESSION")]
    pub compression: bool,

    /// How often a comment keeps a quiet event stream open.
    #[arg(long, env = "GAMECAST_FANOUT_EVENTS_HEARTBEAT", default_value = "15s", value_parser = humantime::parse_duration)]
    pub events_heartbeat: Duration,

    /// How long a browser waits before it connects to /events again: a random time between this
    /// and twice this.
    #[arg(long, env = "GAMECAST_FANOUT_EVENTS_RETRY", default_value = "2s", value_parser = humantime::parse_duration)]
    pub events_retry: Duration,

    /// Over how long clients are told to go when the process is asked to end. Then they have 6
    /// seconds to take what waits for them and leave.
    #[arg(long, env = "GAMECAST_FANOUT_DRAIN_PERIOD", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain_period: Duration,

    /// How long a Kafka topic stays consumed after its last subscriber left.
    #[arg(long, env = "GAMECAST_FANOUT_TOPIC_GRACE", default_value = "30s", value_parser = humantime::parse_duration)]
    pub topic_grace: Duration,

    /// How many partitions of Kafka topics may be consumed at the same time. A topic beyond is not
    /// served, and whoever subscribes to it is told so.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_PARTITIONS", default_value_t = 20_000)]
    pub max_partitions: usize,

    /// How many topics one route may have. Records of topics beyond are not served.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_MAX_ROUTE_TOPICS",
        default_value_t = 100_000
    )]
    pub max_route_topics: usize,

    /// How many of the newest records of each partition are read for the last values of a topic
    /// that carries more than one key. Values older than that are not shown.
    #[arg(
        long,
        env = "GAMECAST_FANOUT_FEED_LOOK_BACK",
        default_value_t = 100_000
    )]
    pub feed_look_back: u32,

    /// How many bytes of the newest records are kept for clients that resume. What is older they
    /// are read from Kafka, which takes a moment that the newest records have to bridge.
    #[arg(long, env = "GAMECAST_FANOUT_RING_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub ring_bytes: usize,

    /// How many bytes of older records, read from Kafka, may wait for clients that resume. Those
    /// that hold up all others for long are told of a gap.
    #[arg(long, env = "GAMECAST_FANOUT_RESUME_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub resume_bytes: usize,

    /// How many partitions may be caught up with from Kafka at once, counted for each client.
    /// Clients beyond that are told of a gap.
    #[arg(long, env = "GAMECAST_FANOUT_MAX_RESUMES", default_value_t = 20_000)]
    pub max_resumes: usize,

    /// How many Kafka clients read what resuming clients lack; each reads up to 64 partitions.
    #[arg(long, env = "GAMECAST_FANOUT_RESUME_CONSUMERS", default_value = "2")]
    pub resume_consumers: NonZeroUsize,

    /// What is logged, as in info,fanout=debug.
    #[arg(long, env = "GAMECAST_FANOUT_LOG", default_value = "info")]
    pub log: String,

    /// What logs look like; by default text on a terminal and JSON elsewhere.
    #[arg(long, env = "GAMECAST_FANOUT_LOG_FORMAT")]
    pub log_format: Option<Format>,
}

impl Args {
    /// What the consumer of Kafka needs to know.
    pub(crate) fn topic_limits(&self) -> topics::Limits {
        topics::Limits {
            grace: self.topic_grace,
            record_bytes: self.max_record_bytes,
            partitions: self.max_partitions,
            topics: self.max_route_topics,
        }
    }

    /// What the server of clients needs to know.
    pub fn settings(&self) -> Settings {
        let workers = self
            .workers
            .or_else(|| std::thread::available_parallelism().ok());
        Settings {
            workers: workers.unwrap_or(NonZeroUsize::MIN),
            origins: self.allow_origin.clone(),
            proxies: Proxies {
                trusted: self.trusted_proxy.clone(),
                header: self.address_header,
            },
            path_prefix: self.path_prefix.clone(),
            full_retry: self.full_retry,
            limits: Limits {
                connections: self.max_connections,
                connections_per_address: self.max_connections_per_address,
                inbound_bytes: self.max_inbound_bytes,
                inbound_messages: self.max_inbound_messages,
                subscribes: self.max_subscribes,
                outbox_bytes: self.outbox_bytes,
                unsent_bytes: self.unsent_bytes,
                send_buffer: self.send_buffer_bytes,
                message_bytes: self.max_message_bytes,
                subscriptions: self.max_subscriptions,
                matches: self.max_matches,
                snapshot_bytes: self.max_snapshot_bytes,
                filter_levels: self.max_filter_levels,
                handshake: self.handshake_timeout,
                subscribe: self.subscribe_timeout,
                max_keep_alive: self.max_keep_alive,
                idle: self.idle_timeout,
            },
            events: EventStreams {
                heartbeat: self.events_heartbeat,
                retry: self.events_retry,
            },
            compression: self.compression,
            drain_period: self.drain_period,
            resume: ResumeLimits {
                ring_bytes: self.ring_bytes,
                catch_ups: self.max_resumes,
            },
        }
    }

    /// What catching up from Kafka may take.
    pub(crate) fn catch_up(&self) -> CatchUpLimits {
        CatchUpLimits {
            consumers: self.resume_consumers,
            bytes: self.resume_bytes.max(1),
            record_bytes: self.max_record_bytes,
        }
    }
}

/// Reads a duration as the seconds of an MQTT Keep Alive.
fn parse_keep_alive(text: &str) -> Result<u16, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match u16::try_from(duration.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err("must be 1s to 65535s".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_is_what_mqtt_can_say() {
        assert_eq!(parse_keep_alive("90s"), Ok(90));
        assert_eq!(parse_keep_alive("18h 12m 15s"), Ok(65_535));
        for bad in ["", "60", "0s", "999ms", "65536s"] {
            assert!(parse_keep_alive(bad).is_err(), "{bad}");
        }
    }
}
