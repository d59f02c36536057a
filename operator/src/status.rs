//! Outcomes of steps become conditions, and turns of conditions Events.
//!
//! ```text
//!   Report  --> Ready, each step, and Reconciling or Stalled where it is not ready
//!   paused  --> the conditions there were, and Paused
//!   turns   --> what is another state than before
//! ```

use std::time::{Duration, Instant};

use crds::{Condition, ConditionType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::events::{Action, Told};
use crate::failure::Failed;
use crate::reason::Reason;

/// What a condition says is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition before it is compared with the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    kind: ConditionType,
    truth: Truth,
    reason: Reason,
    message: String,
}

/// The steps of one reconcile, in their order, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    steps: Vec<Step>,
    ready: Step,
    /// True where waiting does not help.
    stalled: bool,
    /// When the step that is under way began.
    began: Instant,
    took: Vec<(ConditionType, Duration)>,
}

/// The longest message of a condition, as the API server takes it.
const MAX_MESSAGE_CHARS: usize = 2_000;

impl Report {
    /// A reconcile that has not done anything yet.
    pub(crate) fn new(steps: &[ConditionType]) -> Self {
        let pending = |kind| Step {
            kind,
            truth: Truth::Unknown,
            reason: Reason::Pending,
            message: "waits for the steps before it".into(),
        };
        Self {
            steps: steps.iter().copied().map(pending).collect(),
            ready: Step {
                truth: Truth::False,
                message: "is being set up".into(),
                ..pending(ConditionType::Ready)
            },
            stalled: false,
            began: Instant::now(),
            took: Vec::new(),
        }
    }

    /// The steps that ended, well or not, and how long each took.
    pub(crate) fn took(&self) -> &[(ConditionType, Duration)] {
        &self.took
    }

    /// The step is as planned.
    pub(crate) fn done(&mut self, kind: ConditionType, message: impl Into<String>) {
        self.ended(kind);
        self.set(kind, Truth::True, Reason::AsPlanned, message.into());
    }

    /// The step is as planned, but there is something to say of it.
    pub(crate) fn done_but(
        &mut self,
        kind: ConditionType,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.set(kind, Truth::True, reason, message.into());
    }

    /// The step failed, and with it the object.
    pub(crate) fn failed(&mut self, failed: &Failed) {
        self.ended(failed.step);
        let (reason, message) = (failed.failure.reason, failed.failure.message.clone());
        self.set(failed.step, Truth::False, reason, message.clone());
        self.set(ConditionType::Ready, Truth::False, reason, message);
        self.stalled = reason.is_stalled();
    }

    /// The step failed, so that the object cannot be deleted; `way_out` is what else can be done.
    pub(crate) fn undeleted(&mut self, failed: &Failed, way_out: &str) {
        self.failed(failed);
        let message = format!(
            "it cannot be deleted yet: {}; {way_out}",
            failed.failure.message
        );
        let reason = Reason::DeletionFailed;
        self.set(ConditionType::Ready, Truth::False, reason, message);
    }

    /// Every step is as planned.
    pub(crate) fn ready(&mut self, reason: Reason, message: impl Into<String>) {
        self.set(ConditionType::Ready, Truth::True, reason, message.into());
    }

    fn ended(&mut self, step: ConditionType) {
        let now = Instant::now();
        self.took.push((step, now - self.began));
        self.began = now;
    }

    fn set(&mut self, kind: ConditionType, truth: Truth, reason: Reason, message: String) {
        let step = self.steps.iter_mut().find(|step| step.kind == kind);
        let step = step.unwrap_or(&mut self.ready);
        if step.kind == kind {
            step.truth = truth;
            step.reason = reason;
            step.message = match message.char_indices().nth(MAX_MESSAGE_CHARS) {
                Some((end, _)) => message[..end].to_owned(),
                None => message,
            };
        }
    }

    /// The conditions, Ready first. Their times are whole seconds, as the API server keeps them:
    /// a status that differs from the one shown by less than that would be written again for ever.
    /// One whose status is as in `previous` keeps the time of its
    /// last transition.
    pub(crate) fn conditions(
        &self,
        previous: &[Condition],
        generation: Option<i64>,
        now: &Time,
    ) -> Vec<Condition> {
        let now = &whole_seconds(now);
        std::iter::once(&self.ready)
            .chain(&self.steps)
            .chain(self.unready().as_ref())
            .map(|step| step.condition(previous, generation, now))
            .collect()
    }

    /// What somebody who waits for the object wants to know: whether waiting helps.
    fn unready(&self) -> Option<Step> {
        let Step {
            truth,
            reason,
            message,
            ..
        } = &self.ready;
        if *truth == Truth::True {
            return None;
        }
        let (kind, message) = if self.stalled {
            (ConditionType::Stalled, message.clone())
        } else if reason.is_progress() {
            (ConditionType::Reconciling, message.clone())
        } else {
            (
                ConditionType::Reconciling,
                format!("is tried again: {message}"),
            )
        };
        Some(Step {
            kind,
            truth: Truth::True,
            reason: *reason,
            message,
        })
    }
}

impl Step {
    fn condition(&self, previous: &[Condition], generation: Option<i64>, now: &Time) -> Condition {
        let status = self.truth.as_str();
        let same = find(previous, self.kind).filter(|condition| condition.status == status);
        Condition {
            type_: self.kind.as_str().into(),
            status: status.into(),
            reason: self.reason.as_str().into(),
            message: self.message.clone(),
            observed_generation: generation,
            last_transition_time: same
                .map_or(now, |condition| &condition.last_transition_time)
                .clone(),
        }
    }
}

/// A time as the API server keeps it.
fn whole_seconds(time: &Time) -> Time {
    Time(Timestamp::from_second(time.0.as_second()).unwrap_or(time.0))
}

fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    let mut conditions = conditions.iter();
    conditions.find(|condition| condition.type_ == kind.as_str())
}

/// The conditions of an object that is paused: those it had before, which speak of what they spoke
/// of then, and that it is paused.
pub(crate) fn paused(
    previous: &[Condition],
    message: &str,
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let now = &whole_seconds(now);
    let step = |kind, truth| Step {
        kind,
        truth,
        reason: Reason::Paused,
        message: message.into(),
    };
    let passing = [
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::Paused,
    ];
    let mut conditions: Vec<Condition> = previous
        .iter()
        .filter(|condition| passing.iter().all(|kind| kind.as_str() != condition.type_))
        .cloned()
        .collect();
    if conditions.is_empty() {
        let unknown = step(ConditionType::Ready, Truth::Unknown);
        conditions.push(unknown.condition(previous, generation, now));
    }
    let paused = step(ConditionType::Paused, Truth::True);
    conditions.push(paused.condition(previous, generation, now));
    conditions
}

/// What Events tell: that Ready has another status or another reason, or that the object is paused
/// or no longer is.
pub(crate) fn turns(previous: &[Condition], now: &[Condition], action: Action) -> Vec<Told> {
    let mut told = Vec::new();
    let is_paused = |conditions| find(conditions, ConditionType::Paused).is_some();
    match (is_paused(previous), is_paused(now)) {
        (false, true) => {
            let paused = find(now, ConditionType::Paused);
            let message = paused.map_or("", |paused| &paused.message);
            told.push(Told::normal(action, Reason::Paused, message));
            return told;
        }
        (true, false) => {
            let message = "the operator looks after it again";
            told.push(Told::normal(action, Reason::Resumed, message));
        }
        (true, true) | (false, false) => {}
    }
    let state = |conditions| {
        let ready = find(conditions, ConditionType::Ready)?;
        Some((ready.status.as_str(), ready.reason.as_str()))
    };
    if let Some(ready) = find(now, ConditionType::Ready)
        && state(previous) != state(now)
    {
        let progress = Reason::ALL
            .iter()
            .filter(|reason| reason.is_progress())
            .any(|reason| reason.as_str() == ready.reason);
        told.push(Told {
            warning: ready.status == Truth::False.as_str() && !progress,
            reason: ready.reason.clone(),
            note: ready.message.clone(),
            action,
        });
    }
    told
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::failure::Failure;

    const STEPS: [ConditionType; 2] = [ConditionType::TopicReady, ConditionType::TableReady];

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn said(conditions: &[Condition]) -> Vec<(&str, &str, &str, i64)> {
        conditions
            .iter()
            .map(|c| {
                let seconds = c.last_transition_time.0.as_second();
                (&*c.type_, &*c.status, &*c.reason, seconds)
            })
            .collect()
    }

    #[test]
    fn a_failure_makes_its_step_and_the_object_false_and_leaves_the_rest_unknown() {
        let mut report = Report::new(&STEPS);
        report.failed(&Failed {
            step: ConditionType::TopicReady,
            failure: Failure::new(Reason::KafkaUnavailable, "no answer"),
        });
        let conditions = report.conditions(&[], Some(3), &at(10));
        assert_eq!(
            said(&conditions),
            [
                ("Ready", "False", "KafkaUnavailable", 10),
                ("TopicReady", "False", "KafkaUnavailable", 10),
                ("TableReady", "Unknown", "Pending", 10),
                ("Reconciling", "True", "KafkaUnavailable", 10),
            ]
        );
        assert!(conditions.iter().all(|c| c.observed_generation == Some(3)));
        assert_eq!(conditions[0].message, "no answer");
    }

    #[test]
    fn the_time_changes_with_the_status_only() {
        let mut report = Report::new(&STEPS);
        report.done(ConditionType::TopicReady, "a");
        report.done(ConditionType::TableReady, "b");
        report.ready(Reason::Streaming, "streams");
        let first = report.conditions(&[], Some(1), &at(10));
        let second = report.conditions(&first, Some(2), &at(20));
        assert_eq!(said(&first), said(&second));
        // The API server keeps no fractions, so a status is what it was when it comes back.
        let fraction = Time(Timestamp::from_millisecond(10_900).unwrap());
        assert_eq!(report.conditions(&[], Some(1), &fraction), first);
        assert_eq!(second[0].observed_generation, Some(2));

        report.failed(&Failed {
            step: ConditionType::TableReady,
            failure: Failure::new(Reason::TableMismatch, "differs"),
        });
        let third = report.conditions(&second, Some(2), &at(30));
        assert_eq!(
            said(&third),
            [
                ("Ready", "False", "TableMismatch", 30),
                ("TopicReady", "True", "AsPlanned", 10),
                ("TableReady", "False", "TableMismatch", 30),
                ("Stalled", "True", "TableMismatch", 30),
            ]
        );
    }

    fn failed(reason: Reason, message: &str, second: i64, before: &[Condition]) -> Vec<Condition> {
        let mut report = Report::new(&STEPS);
        report.failed(&Failed {
            step: ConditionType::TableReady,
            failure: Failure::new(reason, message),
        });
        report.conditions(before, Some(1), &at(second))
    }

    fn streams(second: i64, before: &[Condition]) -> Vec<Condition> {
        let mut report = Report::new(&STEPS);
        report.ready(Reason::Streaming, "streams");
        report.conditions(before, Some(1), &at(second))
    }

    fn told(before: &[Condition], now: &[Condition]) -> Vec<(bool, String)> {
        turns(before, now, Action::Reconcile)
            .into_iter()
            .map(|told| (told.warning, told.reason))
            .collect()
    }

    #[test]
    fn an_event_tells_another_state_and_no_other_words() {
        let before = failed(Reason::DatabaseUnavailable, "after 1 s", 1, &[]);
        let warned = |reason: &str| vec![(true, reason.to_owned())];
        assert_eq!(told(&[], &before), warned("DatabaseUnavailable"));
        let same = failed(Reason::DatabaseUnavailable, "after 2 s", 2, &before);
        assert_eq!(told(&before, &same), []);
        let other = failed(Reason::DatabaseRefused, "denied", 3, &same);
        assert_eq!(told(&same, &other), warned("DatabaseRefused"));
        let ready = streams(4, &other);
        assert_eq!(told(&other, &ready), [(false, "Streaming".to_owned())]);
        assert_eq!(told(&ready, &streams(5, &ready)), []);
        let setting_up = Report::new(&STEPS).conditions(&[], None, &at(1));
        assert_eq!(told(&[], &setting_up), [(false, "Pending".to_owned())]);
    }

    #[test]
    fn a_deletion_that_fails_is_told_whatever_failed_before() {
        let before = failed(Reason::DatabaseUnavailable, "gone", 1, &[]);
        let mut report = Report::new(&STEPS);
        let failed = Failed {
            step: ConditionType::TableReady,
            failure: Failure::new(Reason::DatabaseUnavailable, "gone"),
        };
        report.undeleted(&failed, "let it go");
        let now = report.conditions(&before, Some(2), &at(2));
        assert_eq!(
            said(&now),
            [
                ("Ready", "False", "DeletionFailed", 1),
                ("TopicReady", "Unknown", "Pending", 1),
                ("TableReady", "False", "DatabaseUnavailable", 1),
                ("Reconciling", "True", "DeletionFailed", 1),
            ]
        );
        assert_eq!(now[0].message, "it cannot be deleted yet: gone; let it go");
        let told = turns(&before, &now, Action::Delete);
        assert_eq!(told.len(), 1);
        assert!(told[0].warning && told[0].note.contains("let it go"));
    }

    #[test]
    fn a_paused_object_says_so_beside_what_was_so_before() {
        let ready = streams(1, &[]);
        let now = paused(&ready, "left alone", Some(2), &at(9));
        assert_eq!(
            said(&now),
            [
                ("Ready", "True", "Streaming", 1),
                ("TopicReady", "Unknown", "Pending", 1),
                ("TableReady", "Unknown", "Pending", 1),
                ("Paused", "True", "Paused", 9),
            ]
        );
        // Nobody has looked at the new generation.
        assert_eq!(now[0].observed_generation, Some(1));
        assert_eq!(paused(&now, "left alone", Some(2), &at(10)), now);
        assert_eq!(told(&ready, &now), [(false, "Paused".to_owned())]);
        assert_eq!(told(&now, &ready), [(false, "Resumed".to_owned())]);

        let waiting = failed(Reason::KafkaUnavailable, "", 1, &[]);
        let now = paused(&waiting, "left alone", Some(1), &at(9));
        assert!(find(&now, ConditionType::Reconciling).is_none());

        let never = paused(&[], "left alone", Some(1), &at(9));
        assert_eq!(said(&never)[0], ("Ready", "Unknown", "Paused", 9));
        assert_eq!(told(&[], &never), [(false, "Paused".to_owned())]);
    }

    #[test]
    fn a_failure_of_no_step_is_said_of_the_object() {
        let mut report = Report::new(&STEPS);
        report.failed(&Failed {
            step: ConditionType::Ready,
            failure: Failure::new(Reason::Conflict, "taken"),
        });
        let conditions = report.conditions(&[], None, &at(1));
        assert_eq!(said(&conditions)[0], ("Ready", "False", "Conflict", 1));
        assert_eq!(said(&conditions)[1].1, "Unknown");
    }
}
