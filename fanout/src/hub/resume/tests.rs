mod decisions;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use tokio::sync::mpsc;

use super::super::{Delivery, Event, Message, Output, Step};
use super::*;

const CLIENT: ClientId = 1;
const TOPICS: [&str; 4] = ["a/x", "a/y", "b/x", "b/y"];
const PARTITIONS: i32 = 2;

/// What Kafka holds, and what it would still give.
#[derive(Default)]
struct Kafka {
    log: Vec<(i32, i64, &'static str)>,
    ends: [i64; 2],
    since: [i64; 2],
}

impl Kafka {
    fn publish(&mut self, partition: i32, topic: &'static str, hole: i64) {
        let end = &mut self.ends[partition as usize];
        let offset = *end + hole;
        *end = offset + 1;
        self.log.push((partition, offset, topic));
    }
}

fn message(origin: &Arc<Origin>, (partition, offset, topic): (i32, i64, &str)) -> Arc<Message> {
    let payload = Bytes::from_static(b"{}");
    let at = (partition, offset);
    Arc::new(Message::new(
        topic,
        payload,
        Bytes::new(),
        origin.clone(),
        at,
        offset,
    ))
}

/// A worker, how much of the log it has seen, and what it is yet to be answered.
struct Pod {
    hub: Hub,
    origin: Arc<Origin>,
    seen: usize,
    answers: VecDeque<Answer>,
    taken: prometheus_client::metrics::gauge::Gauge,
    _answers: mpsc::UnboundedReceiver<Answer>,
}

impl Pod {
    fn start(kafka: &Kafka, origin: &Arc<Origin>, ring_bytes: usize) -> Self {
        let places = Places {
            limit: 100,
            ..Places::default()
        };
        let taken = places.taken.clone();
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut hub = Hub::new(Capacity { ring_bytes, places }, sender);
        let last: BTreeMap<_, _> = kafka.log.iter().map(|record| (record.2, *record)).collect();
        let event = Event::Loaded {
            origin: origin.clone(),
            partitions: (0..).zip(kafka.ends).collect(),
            messages: last.into_values().map(|r| message(origin, r)).collect(),
        };
        hub.apply(&event, &mut |_, _, _, _| true);
        Self {
            hub,
            origin: origin.clone(),
            seen: kafka.log.len(),
            answers: VecDeque::new(),
            taken,
            _answers: receiver,
        }
    }

    /// Reads what is wanted, as the catch-up thread does.
    fn read(&mut self, kafka: &Kafka) {
        for want in self.hub.take_wants() {
            let partition = want.partition as usize;
            let (low, high) = (kafka.since[partition], kafka.ends[partition]);
            let from = want.ticket.begin().unwrap();
            let start = from.max(low).min(want.until);
            let mut tell = |step| {
                let ticket = want.ticket.clone();
                self.answers.push_back(Answer { ticket, step });
            };
            tell(Step::Begun {
                start,
                low: 0,
                high,
            });
            let end = want.until.min(high);
            let records = kafka.log.iter().copied();
            let records = records
                .filter(|(p, offset, _)| *p == want.partition && (start..end).contains(offset));
            let records: Vec<_> = records.collect();
            for pair in records.chunks(2) {
                let messages: Vec<_> = pair.iter().map(|r| message(&self.origin, *r)).collect();
                let to = pair.last().unwrap().1 + 1;
                tell(Step::Chunk(Arc::new(super::super::Chunk::new(
                    messages, to, None,
                ))));
            }
            if start < end {
                tell(Step::Chunk(Arc::new(super::super::Chunk::new(
                    vec![],
                    end,
                    None,
                ))));
            }
            tell(Step::Ended);
        }
    }
}

/// What a client was told that it does not get: of a partition, from an offset on, what comes
/// before the last value of its topic, or what this worker had not seen by then.
struct Excuse {
    partition: i32,
    from: i64,
    end: i64,
    /// How much the client had got by then.
    got: usize,
}

/// A client that does what docs/resume.md tells it to do.
#[derive(Default)]
struct Subscriber {
    positions: BTreeMap<String, i64>,
    /// Partition, offset, topic and whether it came as a last value.
    got: Vec<(i32, i64, String, bool)>,
    excused: Vec<Excuse>,
    /// It sends one SUBSCRIBE, so that it gets each record once.
    once: bool,
}

impl Subscriber {
    fn receive(&mut self, message: &Message, delivery: Delivery<'_>) {
        let position = message.position();
        let topic = message.topic().to_string();
        self.got
            .push((position.partition, position.offset, topic, delivery.retain));
        if delivery.position {
            let mark = Mark {
                origin: message.origin().clone(),
                partition: position.partition,
                offset: position.offset,
            };
            self.positions.insert(mark.name(), mark.offset);
        }
        self.note(delivery.ends);
    }

    fn excuse(&mut self, partition: i32, from: i64, end: i64) {
        let got = self.got.len();
        self.excused.push(Excuse {
            partition,
            from,
            end,
            got,
        });
    }

    /// How often the client got a record as it happened, since it began anew in its partition.
    fn times(&self, partition: i32, offset: i64) -> usize {
        let fresh = |excuse: &&Excuse| excuse.partition == partition && excuse.from == i64::MIN;
        let begins = self.excused.iter().filter(fresh).map(|excuse| excuse.got);
        let bounds: Vec<usize> = begins.chain([self.got.len()]).collect();
        let lives = bounds.windows(2).map(|bounds| {
            let life = self.got[bounds[0]..bounds[1]].iter();
            let of_partition = life.filter(|(p, _, _, retain)| *p == partition && !retain);
            let offsets: Vec<i64> = of_partition.map(|(_, o, ..)| *o).collect();
            assert!(
                !self.once || offsets.is_sorted(),
                "{partition}: {offsets:?}"
            );
            offsets.iter().filter(|o| **o == offset).count()
        });
        lives.max().unwrap_or(0)
    }

    fn is_excused(&self, partition: i32, offset: i64, topic: &str) -> bool {
        self.excused.iter().any(|excuse| {
            let mut last = self.got[excuse.got..].iter();
            let last = last.find(|(_, _, other, retain)| *retain && other == topic);
            let end = last.map_or(excuse.end, |(_, offset, ..)| excuse.end.max(*offset));
            excuse.partition == partition && (excuse.from..end).contains(&offset)
                || last.is_some_and(|(_, o, ..)| *o == offset)
        })
    }

    fn note(&mut self, marks: &[Mark]) {
        for mark in marks {
            self.positions.insert(mark.name(), mark.offset);
        }
    }

    fn hear(&mut self, output: Output<'_>, ends: [i64; 2]) {
        match output {
            Output::Message(message, delivery) => self.receive(message, delivery),
            Output::Gap {
                bookmark, offset, ..
            } => {
                self.positions.remove(&bookmark.to_string());
                let end = ends[bookmark.partition as usize];
                let partition = bookmark.partition;
                self.excuse(partition, offset + 1, end);
            }
            Output::Ends(marks) => self.note(marks),
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Publish {
        topic: usize,
        hole: i64,
    },
    /// A pod takes in records.
    Feed {
        pod: usize,
        count: usize,
    },
    Walk(usize),
    Answer(usize),
    Disconnect,
    Connect {
        pod: usize,
    },
    Restart {
        pod: usize,
    },
    /// All but the newest offsets fall out of the window.
    Expire {
        partition: usize,
        left: i64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (0..TOPICS.len(), prop_oneof![4 => Just(0_i64), 1 => 1_i64..3])
            .prop_map(|(topic, hole)| Act::Publish { topic, hole }),
        10 => (0..2_usize, 1..6_usize).prop_map(|(pod, count)| Act::Feed { pod, count }),
        10 => (1..6_usize).prop_map(Act::Walk),
        10 => (1..4_usize).prop_map(Act::Answer),
        4 => Just(Act::Disconnect),
        6 => (0..2_usize).prop_map(|pod| Act::Connect { pod }),
        1 => (0..2_usize).prop_map(|pod| Act::Restart { pod }),
        1 => (0..2_usize, 0_i64..12).prop_map(|(partition, left)| Act::Expire { partition, left }),
    ]
}

fn requests() -> impl Strategy<Value = Vec<Vec<&'static str>>> {
    prop_oneof![
        Just(vec![vec!["#"]]),
        Just(vec![vec!["a/+"]]),
        Just(vec![vec!["a/x", "+/x", "b/#"]]),
        Just(vec![vec!["a/+"], vec!["b/x"]]),
    ]
}

struct World {
    kafka: Kafka,
    origin: Arc<Origin>,
    ring_bytes: usize,
    pods: Vec<Pod>,
    client: Subscriber,
    connected: Option<usize>,
    requests: Vec<Vec<&'static str>>,
}

impl World {
    fn new(ring: usize, requests: Vec<Vec<&'static str>>) -> Self {
        let kafka = Kafka::default();
        let origin = Origin::windowed(1, Duration::from_secs(60));
        let ring_bytes = ring * 300;
        let pods = (0..2).map(|_| Pod::start(&kafka, &origin, ring_bytes));
        Self {
            pods: pods.collect(),
            kafka,
            origin,
            ring_bytes,
            client: Subscriber {
                once: requests.len() == 1,
                ..Subscriber::default()
            },
            connected: None,
            requests,
        }
    }

    fn filters(&self) -> Vec<TopicFilter> {
        let filters = self.requests.iter().flatten();
        filters.map(|f| f.parse().unwrap()).collect()
    }

    fn disconnect(&mut self) {
        if let Some(pod) = self.connected.take() {
            for filter in self.filters() {
                self.pods[pod].hub.unsubscribe(CLIENT, &filter);
            }
            self.pods[pod].hub.forget(CLIENT);
            assert_eq!(self.pods[pod].taken.get(), 0, "a place is left taken");
        }
    }

    fn connect(&mut self, pod: usize) {
        self.disconnect();
        self.connected = Some(pod);
        let ends: Vec<i64> = (0..PARTITIONS).map(|p| self.pod_end(pod, p)).collect();
        let mut positions = Positions::default();
        for (text, offset) in &self.client.positions {
            positions.add(text.parse().unwrap(), *offset).unwrap();
        }
        for (partition, end) in (0..).zip(&ends) {
            let name = format!("Feed/default/1@e/{partition}");
            if !self.client.positions.contains_key(&name) {
                self.client.excuse(partition, i64::MIN, *end);
            }
        }
        let mut filters = Vec::new();
        for request in self.requests.clone() {
            let options = Options {
                snapshot: true,
                ..Options::default()
            };
            let parsed = request.iter().map(|f| (f.parse().unwrap(), options));
            filters.extend(request.iter().map(|f| f.parse::<TopicFilter>().unwrap()));
            let resume = Resume {
                positions: positions.clone(),
                filters: filters.clone(),
            };
            self.pods[pod].hub.resume(CLIENT, parsed.collect(), resume);
        }
    }

    /// The end of a partition as far as a pod has seen it.
    fn pod_end(&self, pod: usize, partition: i32) -> i64 {
        let id = (self.origin.id(), partition);
        self.pods[pod].hub.resumes.rings.ring(id).unwrap().end()
    }

    fn feed(&mut self, number: usize, count: usize) {
        let pod = &mut self.pods[number];
        let end = self.kafka.log.len().min(pod.seen.saturating_add(count));
        for record in &self.kafka.log[pod.seen..end] {
            let event = Event::Record(message(&self.origin, *record));
            let client = &mut self.client;
            pod.hub.apply(&event, &mut |_, message, delivery, _| {
                client.receive(message, delivery);
                true
            });
        }
        pod.seen = end;
    }

    fn walk(&mut self, mut room: usize) -> bool {
        let Some(number) = self.connected else {
            return false;
        };
        let ends = [0, 1].map(|partition| self.pod_end(number, partition));
        let client = &mut self.client;
        self.pods[number].hub.walk(CLIENT, |output| {
            room -= usize::from(matches!(output, Output::Message(..)));
            client.hear(output, ends);
            room > 0
        })
    }

    fn answer(&mut self, pod: usize, count: usize) -> bool {
        let pod = &mut self.pods[pod];
        pod.read(&self.kafka);
        for _ in 0..count {
            match pod.answers.pop_front() {
                Some(answer) => pod.hub.answer(answer),
                None => return false,
            }
        }
        true
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Publish { topic, hole } => {
                // All records of a topic have one key, and so one partition.
                let partition = topic as i32 % PARTITIONS;
                self.kafka.publish(partition, TOPICS[topic], hole);
            }
            Act::Feed { pod, count } => self.feed(pod, count),
            Act::Walk(room) => {
                self.walk(room);
            }
            Act::Answer(count) => {
                for pod in 0..2 {
                    self.answer(pod, count);
                }
            }
            Act::Disconnect => self.disconnect(),
            Act::Connect { pod } => self.connect(pod),
            Act::Restart { pod } => {
                if self.connected == Some(pod) {
                    self.disconnect();
                }
                self.pods[pod] = Pod::start(&self.kafka, &self.origin, self.ring_bytes);
            }
            Act::Expire { partition, left } => {
                let since = (self.kafka.ends[partition] - left).max(0);
                let known = &mut self.kafka.since[partition];
                *known = since.max(*known);
            }
        }
    }

    /// Lets everything come to its end.
    fn rest(&mut self) {
        if self.connected.is_none() {
            self.connect(0);
        }
        let pod = self.connected.unwrap();
        self.feed(pod, usize::MAX);
        for _ in 0..10_000 {
            let more = self.walk(usize::MAX);
            let answered = self.answer(pod, 1);
            if !more && !answered && !self.pods[pod].hub.is_walking(CLIENT) {
                return;
            }
        }
        panic!("it never ends: {:?}", self.pods[pod].hub.resumes);
    }
}

/// Plays `acts`: what the client has in the end is what Kafka holds, each record once and in order,
/// except where it was told otherwise.
fn play(
    ring: usize,
    requests: Vec<Vec<&'static str>>,
    acts: Vec<Act>,
) -> Result<(), TestCaseError> {
    let once = requests.len() == 1;
    let mut world = World::new(ring, requests);
    for act in acts {
        world.act(act);
    }
    world.rest();
    let filters = world.filters();
    let matches = |topic: &str| filters.iter().any(|filter| filter.matches(topic));
    let got = &world.client.got;
    for (partition, offset, topic) in &world.kafka.log {
        let times = world.client.times(*partition, *offset);
        if !matches(topic) {
            prop_assert_eq!(times, 0);
            continue;
        }
        let excused = world.client.is_excused(*partition, *offset, topic);
        prop_assert!(
            times <= 1 || !once,
            "{}:{} {} times",
            partition,
            offset,
            times
        );
        prop_assert!(times >= 1 || excused, "{}:{} is missing", partition, offset);
    }
    for topic in TOPICS.iter().filter(|topic| matches(topic)) {
        let last = world.kafka.log.iter().rfind(|(_, _, t)| t == topic);
        let got = got.iter().rfind(|(_, _, t, _)| t == topic);
        let last = last.map(|(p, o, _)| (*p, *o));
        prop_assert_eq!(got.map(|(p, o, _, _)| (*p, *o)), last, "last of {}", topic);
    }
    world.disconnect();
    Ok(())
}

/// The first of two SUBSCRIBEs is some way through what Kafka holds when the rest of it goes.
#[test]
fn a_gap_begins_where_the_last_of_several_subscribes_is() {
    let publish = |topic| Act::Publish { topic, hole: 0 };
    let feed = |pod, count| Act::Feed { pod, count };
    let acts = vec![
        publish(2),
        Act::Restart { pod: 0 },
        feed(1, 1),
        publish(2),
        publish(2),
        Act::Connect { pod: 1 },
        Act::Walk(1),
        publish(2),
        feed(0, 2),
        Act::Connect { pod: 0 },
        Act::Walk(1),
        Act::Answer(1),
        Act::Expire {
            partition: 0,
            left: 0,
        },
        publish(0),
    ];
    play(1, vec![vec!["a/+"], vec!["b/x"]], acts).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_client_that_resumes_misses_nothing_unless_it_is_told(
        ring in 0_usize..12,
        requests in requests(),
        acts in proptest::collection::vec(act(), 0..120),
    ) {
        play(ring, requests, acts)?;
    }
}
