//! The last step of both kinds: the route, with what only Kafka can tell.

use route::{Route, RouteKey};

use crate::context::Context;
use crate::kafka::{Topic, TopicError};
use crate::plan::{PlanError, RoutePlan};

/// Publishes the route of the topic's life that `epoch` names.
pub(super) async fn ensure_published(
    ctx: &Context,
    key: &RouteKey,
    plan: &RoutePlan,
    topic: &Topic,
    epoch: &str,
) -> Result<(), TopicError> {
    let published = ctx.routes.get(key).await?;
    let start = match published.and_then(|route| known_start(&route, topic, epoch)) {
        Some(start) => start,
        // Nothing was there before the topic was.
        None if topic.created => vec![0; topic.partitions],
        None => ctx.topics.ends(topic).await?,
    };
    let route = plan.build(epoch, start).map_err(PlanError::from)?;
    ctx.routes.ensure_route(key, &route).await
}

/// Where the records of this route begin, as said when it was first published for its epoch.
fn known_start(route: &Route, topic: &Topic, epoch: &str) -> Option<Vec<i64>> {
    if route.epoch() != epoch || route.topic() != topic.name {
        return None;
    }
    (0..topic.partitions)
        .map(|partition| route.start(i32::try_from(partition).ok()?))
        .collect()
}
