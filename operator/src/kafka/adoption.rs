//! Whether a topic that was there before its object can become the object's.

use rdkafka::admin::ConfigEntry;

use super::topics::merged;
use super::{Topic, TopicError, Topics};
use crate::plan::TopicPlan;

/// What became of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicEnd {
    Gone,
    /// It stays, because it is not the object's, or not certainly.
    Left,
}

/// Settings that promise how long records stay: a smaller value than there was would lose some.
const KEPT_BY: [&str; 2] = ["min.compaction.lag.ms", "retention.ms"];

impl Topics {
    /// Fails where there is a topic that would lose something if it were made as planned. Changes
    /// nothing.
    pub(crate) async fn check_adoptable(&self, plan: &TopicPlan) -> Result<(), TopicError> {
        let Some(topic) = self.describe(&plan.name).await? else {
            return Ok(());
        };
        let entries = self.entries(&plan.name).await?;
        let differences = differences(plan, topic.partitions, &entries);
        if differences.is_empty() || self.is_unused_stray(plan, &topic, &entries).await? {
            return Ok(());
        }
        Err(TopicError::Occupied {
            topic: topic.name,
            differences: differences.join(", "),
        })
    }

    /// True when the topic was made for a table that no Game had, and never held a record.
    async fn is_unused_stray(
        &self,
        plan: &TopicPlan,
        topic: &Topic,
        entries: &[ConfigEntry],
    ) -> Result<bool, TopicError> {
        let stray = TopicPlan::stray(&plan.name, plan.replication);
        Ok(i32::try_from(topic.partitions) == Ok(stray.partitions)
            && merged(&stray, entries).is_none()
            && self.is_unused(topic).await?)
    }

    async fn is_unused(&self, topic: &Topic) -> Result<bool, TopicError> {
        Ok(self.ends(topic).await?.iter().all(|end| *end == 0))
    }

    /// Deletes the topic that was made by the plan. One that is not as planned stays, and so does
    /// one that the object is not `known` to have had, unless it is as planned and never held a
    /// record.
    pub(crate) async fn delete_planned(
        &self,
        plan: &TopicPlan,
        known: bool,
    ) -> Result<TopicEnd, TopicError> {
        let Some(topic) = self.describe(&plan.name).await? else {
            return Ok(TopicEnd::Gone);
        };
        let is_own = if known {
            i32::try_from(topic.partitions) == Ok(plan.partitions)
        } else {
            let entries = self.entries(&plan.name).await?;
            differences(plan, topic.partitions, &entries).is_empty()
                && self.is_unused(&topic).await?
        };
        if !is_own {
            tracing::warn!(topic = plan.name, "left a topic that is not the object's");
            return Ok(TopicEnd::Left);
        }
        self.delete_topic(&plan.name).await?;
        Ok(TopicEnd::Gone)
    }
}

/// What keeps a topic from being made as planned without losing records or their order.
fn differences(plan: &TopicPlan, partitions: usize, entries: &[ConfigEntry]) -> Vec<String> {
    let mut found = Vec::new();
    if i32::try_from(partitions) != Ok(plan.partitions) {
        found.push(format!(
            "it has {partitions} partitions, not {}",
            plan.partitions
        ));
    }
    for (setting, wanted) in &plan.config {
        let entry = entries.iter().find(|entry| entry.name == *setting);
        let is = entry
            .and_then(|entry| entry.value.as_deref())
            .unwrap_or_default();
        let loses = match *setting {
            "cleanup.policy" => is != wanted,
            setting if KEPT_BY.contains(&setting) => keeps(wanted) < keeps(is),
            _ => false,
        };
        if loses {
            found.push(format!("its {setting} is {is}, not {wanted}"));
        }
    }
    found
}

/// How much a setting keeps; -1 is everything, and what cannot be read counts as that.
fn keeps(value: &str) -> u64 {
    value
        .parse::<i64>()
        .ok()
        .and_then(|value| u64::try_from(value).ok())
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::admin::ConfigSource;

    use super::*;

    fn entries(config: &[(&str, &str)]) -> Vec<ConfigEntry> {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).into(),
            value: Some((*value).into()),
            source: ConfigSource::DynamicTopic,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        };
        config.iter().map(entry).collect()
    }

    #[test]
    fn a_topic_is_adopted_when_nothing_is_lost() {
        let plan = TopicPlan::compacted("t", 1, Duration::from_secs(600), 1);
        let topic = |policy, lag| {
            entries(&[
                ("cleanup.policy", policy),
                ("min.compaction.lag.ms", lag),
                ("max.compaction.lag.ms", "9223372036854775807"),
                ("segment.ms", "604800000"),
            ])
        };
        let none: [&str; 0] = [];
        assert_eq!(differences(&plan, 1, &topic("compact", "600000")), none);
        assert_eq!(differences(&plan, 1, &topic("compact", "0")), none);
        assert_eq!(
            differences(&plan, 3, &topic("delete", "600001")),
            [
                "it has 3 partitions, not 1",
                "its cleanup.policy is delete, not compact",
                "its min.compaction.lag.ms is 600001, not 600000",
            ]
        );
    }

    #[test]
    fn for_ever_is_longer_than_any_time() {
        assert!(keeps("-1") > keeps("9223372036854775807"));
        assert!(keeps("0") < keeps("1"));
    }
}
