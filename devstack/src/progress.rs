//! Lines that say what is being done, and for how long.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often something that takes long says that it is still under way.
const REMINDER: Duration = Duration::from_secs(15);

/// Where progress is told, and since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    started: Instant,
    shown: bool,
}

impl Progress {
    /// Progress from now on, printed to standard output when `shown`.
    pub(crate) fn new(shown: bool) -> Self {
        Self {
            started: Instant::now(),
            shown,
        }
    }

    /// Prints one line about `who`, with the time since the start.
    pub(crate) fn say(&self, who: impl Display, what: impl Display) {
        if self.shown {
            let seconds = self.started.elapsed().as_secs_f32();
            // Nobody reads a closed pipe, and nothing depends on these lines.
            let _ = writeln!(io::stdout(), "{seconds:6.1} s  {who:<18} {what}");
        }
    }

    /// Says that `who` begins with `what`, that it still does from time to time, and when it is done.
    pub(crate) async fn during<T, E>(
        &self,
        who: impl Display,
        what: impl Display,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.say(&who, &what);
        let began = Instant::now();
        let mut reminder = interval_at(began + REMINDER, REMINDER);
        reminder.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = reminder.tick() => {
                    let seconds = began.elapsed().as_secs();
                    self.say(&who, format_args!("still: {what}, for {seconds} s"));
                }
            }
        };
        if result.is_ok() {
            let seconds = began.elapsed().as_secs_f32();
            self.say(&who, format_args!("done after {seconds:.1} s"));
        }
        result
    }
}
