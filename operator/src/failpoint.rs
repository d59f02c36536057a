//! A place where a debug build sends itself a signal: how tests show that reconciling may end at
//! any step, and go on late. A release build has none of it.

use clap::Args;
use route::RouteKey;

/// The command line's part about failing on purpose.
#[derive(Debug, Clone, Args)]
pub struct FailPointArgs {
    /// After which step of which object's reconcile to send which signal to this process, joined by
    /// commas: `Game/default/1,table,KILL`.
    #[cfg(debug_assertions)]
    #[arg(long, env = "GAMECAST_OPERATOR_FAIL_POINT", hide = true)]
    fail_point: Option<FailPoint>,
}

#[cfg(debug_assertions)]
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailPoint {
    object: String,
    step: String,
    signal: String,
}

#[cfg(debug_assertions)]
impl std::str::FromStr for FailPoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split(',').collect::<Vec<_>>().as_slice() {
            [object, step, signal] => Ok(Self {
                object: (*object).into(),
                step: (*step).into(),
                signal: (*signal).into(),
            }),
            _ => Err("a fail point is an object, a step and a signal"),
        }
    }
}

impl FailPointArgs {
    /// Notes that the reconcile of an object has come through a step.
    #[cfg(debug_assertions)]
    pub(crate) fn reached(&self, object: &RouteKey, step: &str) {
        let is = |point: &&FailPoint| point.step == step && point.object == object.to_string();
        if let Some(point) = self.fail_point.as_ref().filter(is) {
            tracing::warn!(%object, step, signal = point.signal, "reached the fail point");
            let signal = format!("-{}", point.signal);
            let sent = std::process::Command::new("kill")
                .args([&signal, &std::process::id().to_string()])
                .status();
            if let Err(error) = sent {
                tracing::error!(%error, "failed to send a signal");
            }
        }
    }

    /// Does nothing.
    #[cfg(not(debug_assertions))]
    pub(crate) fn reached(&self, _: &RouteKey, _: &str) {}
}
