//! Outcomes of steps become conditions.

use std::time::{Duration, Instant};

use crds::{Condition, ConditionType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

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
        let now = &Time(Timestamp::from_second(now.0.as_second()).unwrap_or(now.0));
        std::iter::once(&self.ready)
            .chain(&self.steps)
            .map(|step| {
                let (kind, status) = (step.kind.as_str(), step.truth.as_str());
                let same = previous
                    .iter()
                    .find(|condition| condition.type_ == kind && condition.status == status);
                Condition {
                    type_: kind.into(),
                    status: status.into(),
                    reason: step.reason.as_str().into(),
                    message: step.message.clone(),
                    observed_generation: generation,
                    last_transition_time: same
                        .map_or(now, |condition| &condition.last_transition_time)
                        .clone(),
                }
            })
            .collect()
    }
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
            ]
        );
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
