//! A Game: topic, table, connector, marker, route; and back in the order that loses nothing.

use std::time::Instant;

use crds::{Condition, ConditionType, ConnectorMode, ConnectorTask, Game, GameStatus};
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use tracing::Instrument;

use super::{Made, Reconciled, publish, step, whole};
use crate::capture::{Asked, Restarts};
use crate::context::Context;
use crate::events::{Action, Told};
use crate::failure::{At, Failed, Failure, Retry};
use crate::kafka::TopicEnd;
use crate::memory::Life;
use crate::metrics::Kind;
use crate::mysql::{Server, TableDone, TableEnd};
use crate::plan::{GAME, GamePlan, MAX_RECORD_BYTES, PlanError, RoutePlan, Site};
use crate::reason::Reason;
use crate::status::Report;
use crate::warrant::Warrant;
use crate::wishes;

impl Reconciled for Game {
    type Plan = GamePlan;
    type Status = GameStatus;

    const KIND: Kind = Kind::Game;
    const NAME: &'static str = GAME;
    const STEPS: &'static [ConditionType] = &[
        ConditionType::TopicReady,
        ConditionType::TableReady,
        ConditionType::ConnectorReady,
        ConditionType::RouteReady,
    ];

    fn plan(&self, site: &Site) -> Result<GamePlan, PlanError> {
        site.game(self)
    }

    fn claim(&self, site: &Site) -> Option<(String, RoutePlan)> {
        site.game_claim(self)
    }

    fn database(&self) -> &str {
        &self.spec.database_ref.name
    }

    fn deletes(plan: &GamePlan) -> bool {
        plan.deletes
    }

    fn status(&self) -> Option<&GameStatus> {
        self.status.as_ref()
    }

    fn conditions(status: &GameStatus) -> &[Condition] {
        &status.conditions
    }

    fn observed_generation(status: &GameStatus) -> Option<i64> {
        status.observed_generation
    }

    fn store(ctx: &Context) -> &Store<Game> {
        &ctx.games
    }

    fn made(&self) -> Made {
        let Some(status) = self.status.clone() else {
            return Made::default();
        };
        Made {
            served_topic: status.served_topic,
            table: status.table,
            kafka_topic: status.kafka_topic,
            life: Life::shown(status.kafka_topic_id, status.snapshot, status.epoch),
            connector: status.connector,
            connector_task: status.connector_task,
            addresses: status.addresses,
            handled: status.last_handled_reconcile_at,
        }
    }

    fn new_status(made: Made, generation: Option<i64>, conditions: Vec<Condition>) -> GameStatus {
        let life = made.life;
        let snapshot = life.as_ref().and_then(|life| life.snapshot.clone());
        let (kafka_topic_id, epoch) = life.map(|life| (life.topic_id, life.epoch)).unzip();
        GameStatus {
            observed_generation: generation,
            conditions,
            served_topic: made.served_topic,
            table: made.table,
            kafka_topic: made.kafka_topic,
            kafka_topic_id,
            epoch,
            snapshot,
            connector: made.connector,
            connector_task: made.connector_task,
            addresses: made.addresses,
            last_handled_reconcile_at: made.handled,
        }
    }

    async fn ensure(
        &self,
        ctx: &Context,
        plan: &GamePlan,
        made: &mut Made,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let uid = self.uid().unwrap_or_default();
        let connector = &plan.connector.name;
        let asked = wishes::reconcile_at(self).is_some_and(|at| made.handled != Some(at));
        ctx.memory
            .has(&uid, &plan.key, &plan.topic.name, Some(connector));

        if made.kafka_topic.is_none() {
            let adoptable = ctx.topics.check_adoptable(&plan.topic).await;
            adoptable.at(ConditionType::TopicReady)?;
        }
        let topic = ctx.topics.ensure_topic(&plan.topic);
        let topic = topic.instrument(step(ConditionType::TopicReady)).await;
        let topic = topic.at(ConditionType::TopicReady)?;
        let life = ctx.memory.life(&uid, &topic.id, None, made.life.take());
        made.kafka_topic = Some(topic.name.clone());
        made.addresses().kafka = Some(ctx.site.bootstrap_servers.clone());
        made.life = Some(life);
        ctx.fail_point.reached(&plan.key, "topic");
        report.done(
            ConditionType::TopicReady,
            format!("the Kafka topic {} is as planned", topic.name),
        );

        let server = server(ctx, plan)?;
        if made.table.is_none() {
            let adoptable = server.check_adoptable(&plan.table).await;
            adoptable.at(ConditionType::TableReady)?;
        }
        let done = server.ensure_table(&plan.table);
        let done = done.instrument(step(ConditionType::TableReady)).await;
        let done = done.at(ConditionType::TableReady)?;
        if let TableDone::Extended(algorithm) = done {
            let note = format!(
                "added columns to the table {}: {algorithm}",
                plan.table.name
            );
            let told = Told::normal(Action::Reconcile, Reason::ColumnsAdded, note);
            ctx.events.tell(self.object_ref(&()), &told);
        }
        let since = ctx.memory.table_since(&uid, done != TableDone::Nothing);
        // A run that somebody asks for proves everything anew.
        let since = if asked { Instant::now() } else { since };
        ctx.fail_point.reached(&plan.key, "table");
        let table = format!("{}.{}", plan.schema, plan.table.name);
        report.done(
            ConditionType::TableReady,
            format!("the table {table} is as planned"),
        );
        made.table = Some(table);
        made.addresses().database = ctx.site.database_address(&plan.database);

        let asked = Asked {
            resnapshot_at: plan.resnapshot_at,
            restarts: made.connector_task.as_ref().map(restarts),
            ..Asked::default()
        };
        let connecting = step(ConditionType::ConnectorReady);
        let ensured = ctx.capture.ensure_capture(&plan.connector, asked);
        let ensured = ensured.instrument(connecting.clone()).await;
        // What was told before counts for as long as this process has not looked.
        let task = ctx.capture.task(connector);
        made.connector_task = task.or_else(|| made.connector_task.take());
        let note = ensured.at(ConditionType::ConnectorReady)?;
        let note = note.map_or_else(String::new, |note| format!("; {note}"));
        made.connector = Some(connector.clone());
        made.addresses().connect = Some(ctx.site.connect_address.clone());
        ctx.fail_point.reached(&plan.key, "connector");
        let proven = ctx.capture.prove(&plan.connector, since);
        let proven = proven.instrument(connecting).await;
        proven.at(ConditionType::ConnectorReady)?;
        ctx.fail_point.reached(&plan.key, "marker");
        report.done(
            ConditionType::ConnectorReady,
            format!("the connector {connector} streams: a marker row came through{note}"),
        );

        // Rows that are missing because the connector began anew are a gap, as those of a topic that
        // is gone are.
        let snapshot = ctx.capture.snapshot(&plan.connector);
        let life = ctx.memory.life(&uid, &topic.id, snapshot, made.life.take());
        made.life = Some(life.clone());
        tell_left_out(self, ctx, plan, report).await?;

        let published = publish::ensure_published(ctx, &plan.key, &plan.route, &topic, &life.epoch);
        let published = published.instrument(step(ConditionType::RouteReady)).await;
        published.at(ConditionType::RouteReady)?;
        ctx.fail_point.reached(&plan.key, "route");
        let served = &plan.route.served_topic;
        report.done(
            ConditionType::RouteReady,
            format!("the route is published in {}", ctx.routes.topic()),
        );
        report.ready(
            Reason::Streaming,
            format!("rows are streamed to subscribers of {served}"),
        );
        made.served_topic = Some(served.clone());
        Ok(())
    }

    async fn delete(
        &self,
        ctx: &Context,
        plan: &GamePlan,
        made: &Made,
    ) -> Result<Vec<String>, Failed> {
        // Each step that destroys something is warranted anew, right before.
        let warrant = Warrant::new(ctx, self, &plan.key);
        let warranted = warrant.check("delete-route").await;
        warranted.at(ConditionType::RouteReady)?;
        let route = ctx.routes.delete_route(&plan.key).await;
        route.at(ConditionType::RouteReady)?;
        if plan.mode == ConnectorMode::Dedicated {
            let warranted = warrant.check("delete-connector").await;
            warranted.at(ConditionType::ConnectorReady)?;
            let capture = ctx.capture.delete_capture(&plan.connector).await;
            capture.at(ConditionType::ConnectorReady)?;
        }
        let warranted = warrant.check("delete-table");
        let known = made.table.is_some();
        let table = server(ctx, plan)?.delete_table(&plan.table, known, warranted);
        let table = table.await.at(ConditionType::TableReady)?;
        let mut left = Vec::new();
        if table == TableEnd::Left {
            left.push(format!("the table {}.{}", plan.schema, plan.table.name));
        }
        if plan.mode == ConnectorMode::Shared {
            // A table that stays may get rows, which would find no topic and stop every game of
            // the connector.
            if table == TableEnd::Left {
                left.push(format!("the Kafka topic {}", plan.topic.name));
                return Ok(left);
            }
            // A row that is still on its way would do the same, or reach the topic of the next
            // game of this name.
            let ensured = ctx
                .capture
                .ensure_capture(&plan.connector, Asked::default())
                .await;
            ensured.at(ConditionType::ConnectorReady)?;
            ctx.fail_point.reached(&plan.key, "settle");
            let settled = ctx.capture.settle(&plan.connector).await;
            settled.at(ConditionType::ConnectorReady)?;
            ctx.capture.forget_stray(&plan.connector, &plan.table.name);
        }
        let warranted = warrant.check("delete-topic").await;
        warranted.at(ConditionType::TopicReady)?;
        let known = made.kafka_topic.is_some();
        let topic = ctx.topics.delete_planned(&plan.topic, known).await;
        if topic.at(ConditionType::TopicReady)? == TopicEnd::Left {
            left.push(format!("the Kafka topic {}", plan.topic.name));
        }
        Ok(left)
    }
}

/// Says so where the table has a row that is too large for Kafka.
async fn tell_left_out(
    game: &Game,
    ctx: &Context,
    plan: &GamePlan,
    report: &mut Report,
) -> Result<(), Failed> {
    let step = ConditionType::TableReady;
    let conditions = game.status.iter().flat_map(|status| &status.conditions);
    let told = conditions
        .filter(|condition| condition.type_ == step.as_str())
        .any(|condition| condition.reason == Reason::RowLeftOut.as_str());
    let server = server(ctx, plan)?;
    let table = &plan.table.name;
    let found = ctx.capture.left_out(&plan.connector, server, table, told);
    if let Some(row) = found.await.at(step)? {
        report.done_but(
            step,
            Reason::RowLeftOut,
            format!(
                "row {} of the table {}.{table} has {} bytes and was not sent: a record has at most {MAX_RECORD_BYTES}; delete or shorten the row",
                row.row_id, plan.schema, row.bytes
            ),
        );
    }
    Ok(())
}

/// How often the connector was restarted, as a status tells it.
fn restarts(task: &ConnectorTask) -> Restarts {
    let last = task.last_restart.as_ref().map(|time| time.0);
    Restarts::told(u32::try_from(task.restarts).unwrap_or_default(), last)
}

fn server<'a>(ctx: &'a Context, plan: &GamePlan) -> Result<&'a Server, Failed> {
    let server = ctx.servers.get(&plan.database);
    server.map(|server| &**server).ok_or_else(|| {
        let message = format!("no database `{}` is configured", plan.database);
        whole(Failure::new(Reason::DatabaseUnknown, message).with_retry(Retry::OnChange))
    })
}
