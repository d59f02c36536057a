//! A Feed: topic where it is asked for, route.

use crds::{Condition, ConditionType, Feed, FeedStatus};
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use tracing::Instrument;

use super::{Made, Reconciled, publish, step};
use crate::context::Context;
use crate::failure::{At, Failed, Failure};
use crate::kafka::{Topic, TopicEnd, TopicError};
use crate::memory::Life;
use crate::metrics::Kind;
use crate::plan::{FEED, FeedPlan, PlanError, RoutePlan, Site};
use crate::reason::Reason;
use crate::status::Report;
use crate::warrant::Warrant;

impl Reconciled for Feed {
    type Plan = FeedPlan;
    type Status = FeedStatus;

    const KIND: Kind = Kind::Feed;
    const NAME: &'static str = FEED;
    const STEPS: &'static [ConditionType] = &[ConditionType::TopicReady, ConditionType::RouteReady];

    fn plan(&self, site: &Site) -> Result<FeedPlan, PlanError> {
        site.feed(self)
    }

    fn claim(&self, site: &Site) -> Option<(String, RoutePlan)> {
        site.feed_claim(self)
    }

    fn database(&self) -> &str {
        ""
    }

    fn deletes(plan: &FeedPlan) -> bool {
        plan.deletes
    }

    fn status(&self) -> Option<&FeedStatus> {
        self.status.as_ref()
    }

    fn conditions(status: &FeedStatus) -> &[Condition] {
        &status.conditions
    }

    fn observed_generation(status: &FeedStatus) -> Option<i64> {
        status.observed_generation
    }

    fn store(ctx: &Context) -> &Store<Feed> {
        &ctx.feeds
    }

    fn made(&self) -> Made {
        let Some(status) = self.status.clone() else {
            return Made::default();
        };
        Made {
            served_topic: status.served_topic,
            kafka_topic: status.kafka_topic,
            life: Life::shown(status.kafka_topic_id, None, status.epoch),
            addresses: status.addresses,
            handled: status.last_handled_reconcile_at,
            ..Made::default()
        }
    }

    fn new_status(made: Made, generation: Option<i64>, conditions: Vec<Condition>) -> FeedStatus {
        let (kafka_topic_id, epoch) = made.life.map(|life| (life.topic_id, life.epoch)).unzip();
        FeedStatus {
            observed_generation: generation,
            conditions,
            served_topic: made.served_topic,
            kafka_topic: made.kafka_topic,
            kafka_topic_id,
            epoch,
            addresses: made.addresses,
            last_handled_reconcile_at: made.handled,
        }
    }

    async fn ensure(
        &self,
        ctx: &Context,
        plan: &FeedPlan,
        made: &mut Made,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let uid = self.uid().unwrap_or_default();
        ctx.memory.has(&uid, &plan.key, &plan.topic, None);

        let topic = topic(ctx, plan, made).instrument(step(ConditionType::TopicReady));
        let topic = topic.await.at(ConditionType::TopicReady)?;
        let life = ctx.memory.life(&uid, &topic.id, None, made.life.take());
        made.kafka_topic = Some(topic.name.clone());
        made.addresses().kafka = Some(ctx.site.bootstrap_servers.clone());
        made.life = Some(life.clone());
        report.done(
            ConditionType::TopicReady,
            format!("the Kafka topic {} is there", topic.name),
        );

        let route = route(ctx, plan, &topic).await;
        let route = route.at(ConditionType::RouteReady)?;
        let published = publish::ensure_published(ctx, &plan.key, &route, &topic, &life.epoch);
        let published = published.instrument(step(ConditionType::RouteReady)).await;
        published.at(ConditionType::RouteReady)?;
        let served = &plan.route.served_topic;
        report.done(
            ConditionType::RouteReady,
            format!("the route is published in {}", ctx.routes.topic()),
        );
        report.ready(
            Reason::Serving,
            format!("records are served to subscribers of {served}"),
        );
        made.served_topic = Some(served.clone());
        Ok(())
    }

    async fn delete(
        &self,
        ctx: &Context,
        plan: &FeedPlan,
        made: &Made,
    ) -> Result<Vec<String>, Failed> {
        let warrant = Warrant::new(ctx, self, &plan.key);
        let warranted = warrant.check("delete-route").await;
        warranted.at(ConditionType::RouteReady)?;
        let route = ctx.routes.delete_route(&plan.key).await;
        route.at(ConditionType::RouteReady)?;
        // A topic that the operator did not make is never deleted.
        let Some(create) = &plan.create else {
            return Ok(Vec::new());
        };
        let warranted = warrant.check("delete-topic").await;
        warranted.at(ConditionType::TopicReady)?;
        let known = made.kafka_topic.is_some();
        let topic = ctx.topics.delete_planned(create, known).await;
        let left = topic.at(ConditionType::TopicReady)? == TopicEnd::Left;
        let left = left.then(|| format!("the Kafka topic {}", create.name));
        Ok(left.into_iter().collect())
    }
}

async fn topic(ctx: &Context, plan: &FeedPlan, made: &Made) -> Result<Topic, Failure> {
    match &plan.create {
        Some(create) => {
            if made.kafka_topic.is_none() {
                ctx.topics.check_adoptable(create).await?;
            }
            Ok(ctx.topics.ensure_topic(create).await?)
        }
        None => ctx.topics.describe(&plan.topic).await?.ok_or_else(|| {
            let message = format!(
                "the Kafka topic {} does not exist; make it, or have the operator do so by kafkaTopic.create",
                plan.topic
            );
            Failure::new(Reason::TopicNotFound, message)
        }),
    }
}

/// The route, with what only the configuration of a topic tells that the operator did not make.
async fn route(ctx: &Context, plan: &FeedPlan, topic: &Topic) -> Result<RoutePlan, TopicError> {
    let route = plan.route.clone();
    match &plan.create {
        Some(_) => Ok(route),
        None => Ok(route.with_resume_window(ctx.topics.window(topic).await?)),
    }
}
