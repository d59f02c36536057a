//! What is done to the programs and to Kafka.

use std::time::Duration;

use anyhow::Result;
use devstack::Server;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use super::rig::Rig;

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL, and started again.
    Kill(usize),
    /// SIGTERM: it drains, and is started again.
    Drain(usize),
    /// One is drained and back, then the other: a rolling restart.
    Roll,
    /// It hangs for a while.
    Freeze(usize),
    KillKafka,
    FreezeKafka,
}

/// Most faults of one round.
const MOST: usize = 4;

/// How long something is frozen or gone, at most.
const LONGEST: Duration = Duration::from_millis(2500);

/// Makes faults for `duration`, and leaves everything running and ready. Returns what they were.
pub(super) async fn rage(
    rig: &mut Rig,
    dice: &mut StdRng,
    duration: Duration,
) -> Result<Vec<String>> {
    let end = Instant::now() + duration;
    let count = dice.random_range(1..=MOST);
    let mut faults = Vec::new();
    for _ in 0..count {
        sleep(dice.random_range(Duration::ZERO..duration / MOST as u32)).await;
        let fault = draw(dice);
        let pause = dice.random_range(Duration::ZERO..LONGEST);
        faults.push(format!("{fault:?} {} ms", pause.as_millis()));
        inflict(rig, fault, pause).await?;
    }
    sleep_until(end).await;
    for fanout in &mut rig.fanouts {
        fanout.ready().await?;
    }
    Ok(faults)
}

fn draw(dice: &mut StdRng) -> Fault {
    let fanout = dice.random_range(0..2);
    match dice.random_range(0..6) {
        0 => Fault::Kill(fanout),
        1 => Fault::Drain(fanout),
        2 => Fault::Roll,
        3 => Fault::Freeze(fanout),
        4 => Fault::KillKafka,
        _ => Fault::FreezeKafka,
    }
}

async fn inflict(rig: &mut Rig, fault: Fault, pause: Duration) -> Result<()> {
    match fault {
        Fault::Kill(which) => {
            rig.fanouts[which].kill().await?;
            sleep(pause).await;
            rig.fanouts[which].start()?;
        }
        Fault::Drain(which) => {
            rig.fanouts[which].terminate().await?;
            sleep(pause).await;
            rig.fanouts[which].start()?;
        }
        Fault::Roll => {
            for fanout in &mut rig.fanouts {
                fanout.terminate().await?;
                fanout.start_ready().await?;
            }
        }
        Fault::Freeze(which) => {
            rig.fanouts[which].freeze()?;
            sleep(pause).await;
            rig.fanouts[which].thaw()?;
        }
        Fault::KillKafka => {
            rig.stack.kill(Server::Kafka).await?;
            sleep(pause).await;
            rig.stack.start(Server::Kafka).await?;
        }
        Fault::FreezeKafka => {
            rig.stack.freeze(Server::Kafka)?;
            sleep(pause).await;
            rig.stack.thaw(Server::Kafka)?;
        }
    }
    Ok(())
}
