//! Tables that the shared connector captures though no Game has them: renamed by hand, made by
//! hand, or left by a Game that is gone.
//!
//! Connect makes a topic for a task's first record of it. When that topic is deleted later, the next
//! row of the table stops every game; and no Game says so, as it is nobody's topic.

use super::Parts;
use crate::failure::Failure;
use crate::plan::ConnectorPlan;

impl Parts {
    /// Makes the topics that captured tables lack; those of Games come back as they are planned when
    /// their Games are looked at.
    pub(super) async fn make_stray_topics(&self, plan: &ConnectorPlan) -> Result<(), Failure> {
        if !plan.is_shared() {
            return Ok(());
        }
        let tables = self.server(plan)?.tables(&plan.tables).await?;
        let topics: Vec<_> = tables.iter().map(|table| plan.stray_topic(table)).collect();
        let names = topics.iter().map(|topic| topic.name.clone()).collect();
        let there = self.topics.describe_all(names).await?;
        for topic in topics
            .iter()
            .filter(|topic| !there.contains_key(&topic.name))
        {
            tracing::warn!(
                topic = topic.name,
                "a captured table has no topic, making one"
            );
            self.topics.ensure_topic(topic).await?;
        }
        Ok(())
    }
}
