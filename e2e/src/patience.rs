//! Awaiting a condition.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep};

/// How long a condition may take on a busy machine. A healthy run needs a small part of it.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// Looks at `condition` until it holds a value.
///
/// # Errors
/// When [`LIMIT`] has passed, with the last reason why the condition did not hold.
pub async fn until<T, F>(what: &str, mut condition: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let end = Instant::now() + LIMIT;
    loop {
        match condition().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(error.context(anyhow!("{what}: not within {LIMIT:?}")));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}
