//! Topics as planned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigSource, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use topicid::Description;

use super::{Access, TopicError, window};
use crate::batch::Batch;
use crate::plan::TopicPlan;

/// How often, and how many times, a topic that was just made is looked up before it must show.
const VISIBLE: (u32, Duration) = (40, Duration::from_millis(25));

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
    client: AdminClient<DefaultClientContext>,
    access: Access,
}

impl Topics {
    /// A client of Kafka. Connects when used.
    pub(crate) fn new(access: &Access) -> KafkaResult<Self> {
        let admin = Arc::new(Admin {
            client: access.client().create()?,
            access: access.clone(),
        });
        let (describer, creator, reader) = (admin.clone(), admin.clone(), admin.clone());
        Ok(Self {
            describe: Batch::new(move |names| {
                let admin = describer.clone();
                async move { admin.describe(names).await }
            }),
            create: Batch::new(move |plans| {
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
        for _ in 0..VISIBLE.0 {
            if let Some(found) = self.describe.ask(plan.name.clone()).await? {
                let topic = topic(&plan.name, found, created);
                return if created {
                    tracing::info!(topic = topic.name, id = topic.id, "made the topic");
                    Ok(topic)
                } else {
                    self.ensure_config(plan, topic).await
                };
            }
            sleep(VISIBLE.1).await;
        }
        Err(TopicError::NotVisible {
            topic: plan.name.clone(),
            servers: self.admin.access.bootstrap_servers.clone(),
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
        let entries = self.configs.ask(plan.name.clone()).await?;
        if let Some(config) = merged(plan, &entries) {
            self.admin.alter(&plan.name, &config).await?;
            tracing::info!(topic = plan.name, "put the topic's configuration right");
        }
        Ok(topic)
    }

    /// Deletes the topic. One that is not there is no failure.
    pub(crate) async fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let action = || format!("delete the topic {name}");
        let options = self.admin.options();
        let names = [name];
        let deleted = self.admin.client.delete_topics(&names, &options);
        let deleted = self.admin.observe("delete topics", deleted).await;
        let results = deleted.map_err(|source| self.admin.failed(action(), source))?;
        for result in results {
            match result {
                Ok(_) => tracing::info!(topic = name, "deleted the topic"),
                Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => return Err(self.admin.refused(action(), code)),
            }
        }
        Ok(())
    }

    /// Deletes the topic that was made by the plan. One that never was, because it does not fit,
    /// stays.
    pub(crate) async fn delete_planned(&self, plan: &TopicPlan) -> Result<(), TopicError> {
        match self.describe(&plan.name).await? {
            Some(topic) if i32::try_from(topic.partitions) != Ok(plan.partitions) => {
                tracing::warn!(topic = plan.name, "left a topic that is not as planned");
                Ok(())
            }
            Some(_) => self.delete_topic(&plan.name).await,
            None => Ok(()),
        }
    }

    /// How long the topic keeps every record, none where it promises nothing.
    pub(crate) async fn window(&self, topic: &Topic) -> Result<Option<Duration>, TopicError> {
        let entries = self.configs.ask(topic.name.clone()).await?;
        Ok(window::kept(&entries))
    }

    /// The offset behind the last record of each of the topic's partitions.
    pub(crate) async fn ends(&self, topic: &Topic) -> Result<Vec<i64>, TopicError> {
        let (admin, name) = (self.admin.clone(), topic.name.clone());
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let ends = spawn_blocking(move || {
            (0..partitions)
                .map(|partition| {
                    let client = admin.client.inner();
                    client
                        .fetch_watermarks(&name, partition, admin.access.timeout)
                        .map(|(_, end)| end)
                        .map_err(|source| {
                            admin.failed(format!("look up the end of the topic {name}"), source)
                        })
                })
                .collect()
        });
        let ends = async { ends.await.map_err(thread)? };
        self.admin.observe("look up ends", ends).await
    }
}

fn thread(error: tokio::task::JoinError) -> TopicError {
    TopicError::Thread(Arc::new(error))
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
fn merged(plan: &TopicPlan, entries: &[ConfigEntry]) -> Option<HashMap<String, String>> {
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
    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.access.timeout))
            .operation_timeout(Some(self.access.timeout))
    }

    async fn observe<T, E>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.access.calls.observe(call, work).await
    }

    fn failed(&self, action: String, source: rdkafka::error::KafkaError) -> TopicError {
        let servers = self.access.bootstrap_servers.clone();
        match source.rdkafka_error_code() {
            Some(code) => TopicError::Refused {
                action,
                servers,
                code,
            },
            None => TopicError::Request {
                action,
                servers,
                source: Arc::new(source),
            },
        }
    }

    fn refused(&self, action: String, code: RDKafkaErrorCode) -> TopicError {
        TopicError::Refused {
            action,
            servers: self.access.bootstrap_servers.clone(),
            code,
        }
    }

    async fn describe(self: &Arc<Self>, names: Vec<String>) -> Vec<Described> {
        let admin = self.clone();
        let asked = names.clone();
        let found = spawn_blocking(move || {
            topicid::describe(admin.client.inner(), &asked, admin.access.timeout)
        });
        let found = async {
            let found = found.await.map_err(thread)?;
            found.map_err(|source| match source {
                topicid::DescribeError::Request(code) => {
                    self.refused("look up topics".into(), code)
                }
                source => TopicError::Describe {
                    servers: self.access.bootstrap_servers.clone(),
                    source,
                },
            })
        };
        let found = self.observe("describe topics", found).await;
        each(names.len(), found, |topics| {
            topics.into_iter().map(Ok).collect()
        })
    }

    async fn create(&self, plans: &[TopicPlan]) -> Vec<Result<bool, TopicError>> {
        let topics: Vec<NewTopic<'_>> = plans
            .iter()
            .map(|plan| {
                let replication = TopicReplication::Fixed(plan.replication);
                let topic = NewTopic::new(&plan.name, plan.partitions, replication);
                plan.config
                    .iter()
                    .fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let options = self.options();
        let created = self.client.create_topics(&topics, &options);
        let created = self.observe("create topics", created).await;
        let created = created.map_err(|source| self.failed("make topics".into(), source));
        each(plans.len(), created, |results| {
            results
                .into_iter()
                .map(|result| match result {
                    Ok(_) => Ok(true),
                    Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(false),
                    Err((name, code)) => Err(self.refused(format!("make the topic {name}"), code)),
                })
                .collect()
        })
    }

    async fn configs(&self, names: &[String]) -> Vec<Configured> {
        let topics: Vec<ResourceSpecifier<'_>> = names
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let action = || "look up the configuration of topics".to_owned();
        let options = self.options();
        let found = self.client.describe_configs(&topics, &options);
        let found = self.observe("describe configurations", found).await;
        let found = found.map_err(|source| self.failed(action(), source));
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
                        self.refused(action(), RDKafkaErrorCode::UnknownTopicOrPartition)
                    })
                })
                .collect()
        })
    }

    async fn alter(&self, name: &str, config: &HashMap<String, String>) -> Result<(), TopicError> {
        let action = || format!("set the configuration of the topic {name}");
        let request = config.iter().fold(
            AlterConfig::new(ResourceSpecifier::Topic(name)),
            |request, (key, value)| request.set(key, value),
        );
        let (requests, options) = ([request], self.options());
        let altered = self.client.alter_configs(&requests, &options);
        let altered = self.observe("alter configurations", altered).await;
        for result in altered.map_err(|source| self.failed(action(), source))? {
            result.map_err(|(_, code)| self.refused(action(), code))?;
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        ConfigEntry {
            name: name.into(),
            value: Some(value.into()),
            source,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        }
    }

    #[test]
    fn what_others_have_set_survives_a_repair() {
        let plan = TopicPlan::history("h", 1);
        let mut entries = vec![
            entry("cleanup.policy", "delete", ConfigSource::Default),
            entry("retention.ms", "-1", ConfigSource::DynamicTopic),
            entry("retention.bytes", "-1", ConfigSource::Default),
            entry("compression.type", "lz4", ConfigSource::DynamicTopic),
            entry("segment.bytes", "1", ConfigSource::Default),
        ];
        assert_eq!(merged(&plan, &entries), None);
        entries[1].value = Some("1000".into());
        let config = merged(&plan, &entries).unwrap();
        assert_eq!(config["retention.ms"], "-1");
        assert_eq!(config["compression.type"], "lz4");
        assert!(!config.contains_key("segment.bytes"));
    }
}
