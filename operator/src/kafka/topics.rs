//! Topics as planned.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigSource, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use route::ROUTES_TOPIC;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use topicid::Description;

use super::{Access, TopicError, window};
use crate::batch::Batch;
use crate::plan::TopicPlan;

/// Most topics that one request makes: a broker makes one after the other, and answers when all
/// are made.
const MAX_CREATED: usize = 100;

/// The first wait for a topic that was just made and does not show yet; each is twice the last,
/// so that thousands of new topics are looked up a few times and not all the time.
const VISIBLE: Duration = Duration::from_millis(25);

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) partitions: usize,
    /// True when this call made the topic.
    pub(crate) created: bool,
}

type Described = Result<Option<Description>, TopicError>;
type Configured = Result<Arc<[ConfigEntry]>, TopicError>;

/// Makes, looks up and deletes topics.
pub(crate) struct Topics {
    admin: Arc<Admin>,
    describe: Batch<String, Described>,
    create: Batch<TopicPlan, Result<bool, TopicError>>,
    configs: Batch<String, Configured>,
}

struct Admin {
    client: Arc<AdminClient<DefaultClientContext>>,
    access: Access,
    /// True when the last request failed.
    failed: AtomicBool,
}

impl Topics {
    /// A client of Kafka. Connects when used.
    pub(crate) fn new(access: &Access) -> KafkaResult<Self> {
        let admin = Arc::new(Admin {
            client: access.kafka.follow(access.client().create()?),
            access: access.clone(),
            failed: AtomicBool::new(false),
        });
        let (describer, creator, reader) = (admin.clone(), admin.clone(), admin.clone());
        Ok(Self {
            describe: Batch::new(move |names| {
                let admin = describer.clone();
                async move { admin.describe(names).await }
            }),
            create: Batch::of_at_most(MAX_CREATED, move |plans| {
                let admin = creator.clone();
                async move { admin.create(&plans).await }
            }),
            configs: Batch::new(move |names| {
                let admin = reader.clone();
                async move { admin.configs(&names).await }
            }),
            admin,
        })
    }

    /// The topic of that name, or none.
    pub(crate) async fn describe(&self, name: &str) -> Result<Option<Topic>, TopicError> {
        let found = self.describe.ask(name.into()).await?;
        Ok(found.map(|description| topic(name, description, false)))
    }

    /// All of `names` that exist, by name.
    pub(crate) async fn describe_all(
        &self,
        names: Vec<String>,
    ) -> Result<HashMap<String, Description>, TopicError> {
        let found = self.admin.describe(names.clone()).await;
        let mut topics = HashMap::new();
        for (name, found) in names.into_iter().zip(found) {
            if let Some(description) = found? {
                topics.insert(name, description);
            }
        }
        Ok(topics)
    }

    /// Makes the topic, or puts its configuration right.
    pub(crate) async fn ensure_topic(&self, plan: &TopicPlan) -> Result<Topic, TopicError> {
        if let Some(topic) = self.describe(&plan.name).await? {
            return self.ensure_config(plan, topic).await;
        }
        let created = self.create.ask(plan.clone()).await?;
        let (begun, mut wait) = (Instant::now(), VISIBLE);
        while begun.elapsed() < self.admin.access.timeout {
            if let Some(found) = self.describe.ask(plan.name.clone()).await? {
                let topic = topic(&plan.name, found, created);
                return if created {
                    tracing::info!(topic = topic.name, id = topic.id, "made the topic");
                    Ok(topic)
                } else {
                    self.ensure_config(plan, topic).await
                };
            }
            sleep(wait).await;
            wait *= 2;
        }
        Err(TopicError::NotVisible {
            topic: plan.name.clone(),
            servers: self.admin.access.servers(),
        })
    }

    async fn ensure_config(&self, plan: &TopicPlan, topic: Topic) -> Result<Topic, TopicError> {
        if i32::try_from(topic.partitions) != Ok(plan.partitions) {
            return Err(TopicError::Partitions {
                topic: topic.name,
                has: topic.partitions,
                wanted: plan.partitions,
            });
        }
        let entries = self.entries(&plan.name).await?;
        if let Some(config) = merged(plan, &entries) {
            self.admin.alter(&plan.name, &config).await?;
            tracing::info!(topic = plan.name, "put the topic's configuration right");
        }
        Ok(topic)
    }

    /// Deletes the topic. One that is not there is no failure.
    pub(crate) async fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let action = || format!("delete the topic {name}");
        let admin = &self.admin;
        let names = [name];
        let results = admin
            .ask("delete topics", &action(), |options| {
                admin.client.delete_topics(&names, options)
            })
            .await?;
        for result in results {
            match result {
                Ok(_) => tracing::info!(topic = name, "deleted the topic"),
                Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => return Err(admin.access.refused(action(), code)),
            }
        }
        Ok(())
    }

    /// The configuration of the topic of that name.
    pub(super) async fn entries(&self, name: &str) -> Configured {
        self.configs.ask(name.into()).await
    }

    /// How long the topic keeps every record, none where it promises nothing.
    pub(crate) async fn window(&self, topic: &Topic) -> Result<Option<Duration>, TopicError> {
        let entries = self.entries(&topic.name).await?;
        Ok(window::kept(&entries))
    }

    /// The offset behind the last record of each of the topic's partitions.
    pub(crate) async fn ends(&self, topic: &Topic) -> Result<Vec<i64>, TopicError> {
        let (admin, name) = (self.admin.clone(), topic.name.clone());
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let action = format!("look up the end of the topic {name}");
        let ends = move |limit| {
            let client = admin.client.inner();
            let end = |partition| client.fetch_watermarks(&name, partition, limit);
            (0..partitions)
                .map(|partition| end(partition).map(|(_, end)| end))
                .collect()
        };
        let access = &self.admin.access;
        access.ask_blocking("look up ends", &action, ends).await
    }
}

fn topic(name: &str, description: Description, created: bool) -> Topic {
    Topic {
        name: name.into(),
        id: description.id,
        partitions: description.partitions,
        created,
    }
}

/// The configuration to set so that the topic is as planned, none when it already is. Kafka's
/// AlterConfigs resets what is not named, so what others have set is named too.
pub(super) fn merged(plan: &TopicPlan, entries: &[ConfigEntry]) -> Option<HashMap<String, String>> {
    let is = |key: &str| entries.iter().find(|entry| entry.name == key);
    let drifted = plan
        .config
        .iter()
        .any(|(key, wanted)| is(key).and_then(|entry| entry.value.as_ref()) != Some(wanted));
    drifted.then(|| {
        let set = entries
            .iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic)
            .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)));
        let wanted = plan
            .config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        set.chain(wanted).collect()
    })
}

impl Admin {
    /// Makes a request within the term.
    async fn ask<T, F: Future<Output = KafkaResult<T>>>(
        &self,
        call: &'static str,
        action: &str,
        request: impl FnOnce(&AdminOptions) -> F,
    ) -> Result<T, TopicError> {
        self.reach(action, async {
            let limit = self.access.term.left(self.access.timeout)?;
            let options = AdminOptions::new()
                .request_timeout(Some(limit))
                .operation_timeout(Some(limit));
            self.access.ask(call, action, request(&options)).await
        })
        .await
    }

    /// Makes `request`; when the one before failed, only once a broker answers.
    ///
    /// For as long as a request of the admin API waits for the controller, librdkafka (2.12)
    /// connects again as soon as it is refused, whatever `reconnect.backoff.ms` is. While no
    /// broker is there that takes most of a core. To be told of a topic, it waits in between.
    async fn reach<T>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, TopicError>>,
    ) -> Result<T, TopicError> {
        if self.failed.load(Ordering::Relaxed) {
            let client = self.client.clone();
            let look = move |limit| client.inner().fetch_metadata(Some(ROUTES_TOPIC), limit);
            self.access
                .ask_blocking("look for brokers", action, look)
                .await?;
        }
        let answer = request.await;
        self.failed.store(answer.is_err(), Ordering::Relaxed);
        answer
    }

    async fn describe(self: &Arc<Self>, names: Vec<String>) -> Vec<Described> {
        // librdkafka refuses a request that names a topic twice, or none.
        let asked: Vec<String> = BTreeSet::from_iter(&names).into_iter().cloned().collect();
        if asked.is_empty() {
            return Vec::new();
        }
        let (admin, unique) = (self.clone(), asked.clone());
        let action = "look up topics";
        let found = async {
            let limit = self.access.term.left(self.access.timeout)?;
            let found =
                spawn_blocking(move || topicid::describe(admin.client.inner(), &unique, limit));
            let found = self.access.within(action, found).await?;
            let found = found.map_err(|error| TopicError::Thread(Arc::new(error)))?;
            found.map_err(|source| match source {
                topicid::DescribeError::Request(code) => self.access.refused(action.into(), code),
                source => TopicError::Describe {
                    servers: self.access.servers(),
                    source,
                },
            })
        };
        let found = self.access.calls.observe("describe topics", found);
        let found = self.reach(action, found).await;
        let found = each(asked.len(), found, |topics| {
            topics.into_iter().map(Ok).collect()
        });
        let found: HashMap<String, Described> = asked.into_iter().zip(found).collect();
        // Each name was asked for.
        names
            .iter()
            .filter_map(|name| found.get(name).cloned())
            .collect()
    }

    async fn create(&self, plans: &[TopicPlan]) -> Vec<Result<bool, TopicError>> {
        let first = first_of_each_name(plans);
        let topics: Vec<NewTopic<'_>> = first
            .iter()
            .map(|at| {
                let plan = &plans[*at];
                let replication = TopicReplication::Fixed(plan.replication);
                let topic = NewTopic::new(&plan.name, plan.partitions, replication);
                plan.config
                    .iter()
                    .fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let created = self
            .ask("create topics", "make topics", |options| {
                self.client.create_topics(&topics, options)
            })
            .await;
        let created = each(first.len(), created, |results| {
            results
                .into_iter()
                .map(|result| match result {
                    Ok(_) => Ok(true),
                    Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(false),
                    Err((name, code)) => {
                        Err(self.access.refused(format!("make the topic {name}"), code))
                    }
                })
                .collect()
        });
        let names = first.iter().map(|at| plans[*at].name.as_str());
        let mut results: HashMap<&str, _> = names.zip(created).collect();
        // Each name was asked for.
        let answers = plans.iter().filter_map(|plan| {
            let result = results.get_mut(plan.name.as_str())?;
            let answer = result.clone();
            // Who asked for it too sees to its configuration.
            if answer.is_ok() {
                *result = Ok(false);
            }
            Some(answer)
        });
        answers.collect()
    }

    async fn configs(&self, names: &[String]) -> Vec<Configured> {
        // A topic that is named twice is refused.
        let asked: BTreeSet<&String> = names.iter().collect();
        let topics: Vec<ResourceSpecifier<'_>> = asked
            .into_iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let action = "look up the configuration of topics";
        let found = self
            .ask("describe configurations", action, |options| {
                self.client.describe_configs(&topics, options)
            })
            .await;
        each(names.len(), found, |resources| {
            let mut entries: HashMap<String, Arc<[ConfigEntry]>> = HashMap::new();
            for resource in resources.into_iter().flatten() {
                if let OwnedResourceSpecifier::Topic(name) = resource.specifier {
                    entries.insert(name, resource.entries.into());
                }
            }
            names
                .iter()
                .map(|name| {
                    entries.get(name).cloned().ok_or_else(|| {
                        self.access
                            .refused(action.into(), RDKafkaErrorCode::UnknownTopicOrPartition)
                    })
                })
                .collect()
        })
    }

    async fn alter(&self, name: &str, config: &HashMap<String, String>) -> Result<(), TopicError> {
        let action = format!("set the configuration of the topic {name}");
        let request = config.iter().fold(
            AlterConfig::new(ResourceSpecifier::Topic(name)),
            |request, (key, value)| request.set(key, value),
        );
        let requests = [request];
        let altered = self.ask("alter configurations", &action, |options| {
            self.client.alter_configs(&requests, options)
        });
        for result in altered.await? {
            result.map_err(|(_, code)| self.access.refused(action.clone(), code))?;
        }
        Ok(())
    }
}

/// Where in `plans` each topic is named first. A broker answers once for a topic that a request names
/// twice, and librdkafka leaves nothing where the second answer would be, which rdkafka then reads.
fn first_of_each_name(plans: &[TopicPlan]) -> Vec<usize> {
    let mut names = HashSet::new();
    (0..plans.len())
        .filter(|at| names.insert(&plans[*at].name))
        .collect()
}

/// One answer for each of `count` questions: `split` of the call's result, or its error for all.
fn each<T, A>(
    count: usize,
    result: Result<T, TopicError>,
    split: impl FnOnce(T) -> Vec<Result<A, TopicError>>,
) -> Vec<Result<A, TopicError>> {
    match result {
        Ok(result) => split(result),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}
