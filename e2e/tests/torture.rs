//! Five rounds of torture; `make torture` does a hundred.

use anyhow::Result;
use e2e::torture::Torture;

const ROUNDS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn clients_hold_what_kafka_holds_whatever_is_killed() -> Result<()> {
    let mut torture = Torture::up(26_000).await?;
    for seed in 1..=ROUNDS {
        torture.round(seed).await?;
    }
    Ok(())
}
