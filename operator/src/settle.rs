//! The proof that what a connector has read is in Kafka, and is never sent again.
//!
//! ```text
//!   binlog      rows of a table | DROP TABLE | marker 1 | marker 2 |
//!   Kafka       ..... every row of the table ......... acknowledged
//!   committed                                     ^ Connect goes on from here
//! ```
//!
//! A marker that has arrived does not prove that the rows before it have: the producer has several
//! requests on their way and one batch of each partition in each of them, so a marker overtakes
//! rows of another topic that fill more than a batch. And rows that have arrived are sent again
//! when the connector starts anew at an older position.
//!
//! The offset that Connect has committed proves both. It is where the connector would go on, and
//! it is that of a record before which every record is acknowledged (KIP-875 shows it; the order
//! is that of Connect's `SubmittedRecords`). Debezium's is the begin of the record's transaction,
//! hence the second marker: its transaction begins behind the first.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;

use crate::failure::Failure;
use crate::position::Position;

/// How often the committed offset is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Returns once everything that was in the binlog when this was called is in Kafka, and no start of
/// the connector reads it again.
///
/// `mark` writes a marker row, and tells its position once it has arrived in Kafka. `committed` is
/// the offset that Connect has committed, none where it has not.
pub(crate) async fn settle<M, C>(
    mark: impl Fn() -> M,
    committed: impl Fn() -> C,
) -> Result<(), Failure>
where
    M: Future<Output = Result<Position, Failure>>,
    C: Future<Output = Result<Option<Position>, Failure>>,
{
    let first = mark().await?;
    // A connector that lost MySQL before the offset was committed may have sent everything anew
    // behind what was acknowledged. From the offset on it can no more; so the marker that was
    // written after that, and the offset behind it, are the last of anything sent twice.
    let second = committed_past(&first, &mark, &committed).await?;
    committed_past(&second, &mark, &committed).await?;
    Ok(())
}

/// Awaits a committed offset behind `bound`; the position of a marker that was written after it was
/// seen.
async fn committed_past<M, C>(
    bound: &Position,
    mark: &impl Fn() -> M,
    committed: &impl Fn() -> C,
) -> Result<Position, Failure>
where
    M: Future<Output = Result<Position, Failure>>,
    C: Future<Output = Result<Option<Position>, Failure>>,
{
    mark().await?;
    loop {
        if let Some(offset) = committed().await?.filter(|offset| bound < offset) {
            let end = mark().await?;
            // Positions of another server, from before MySQL failed over, may be beyond this one's.
            if offset < end {
                return Ok(end);
            }
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::reason::Reason;

    /// How often a Connect is asked that never commits enough.
    const PATIENCE: u64 = 3;

    /// Settles on a binlog in which each marker is a transaction of 10 bytes, and on a Connect that
    /// commits what `commit` makes of the log's end and of how often it was asked. How many markers
    /// and questions it took; none where it did not settle.
    async fn run(commit: impl Fn(u64, u64) -> Option<u64>) -> Option<(u64, u64)> {
        let (markers, asked) = (Cell::new(0), Cell::new(0));
        let at = |byte| Position::new("binlog.000001", byte).unwrap();
        let mark = || {
            markers.set(markers.get() + 1);
            std::future::ready(Ok(at(markers.get() * 10)))
        };
        let committed = || {
            asked.set(asked.get() + 1);
            let offset = commit(markers.get() * 10, asked.get()).map(at);
            let impatient = Failure::new(Reason::NotCommitted, "");
            std::future::ready(if asked.get() > PATIENCE {
                Err(impatient)
            } else {
                Ok(offset)
            })
        };
        settle(mark, committed).await.ok()?;
        Some((markers.get(), asked.get()))
    }

    #[tokio::test]
    async fn an_idle_connector_settles_with_a_few_markers() {
        // The offset of the last marker: the begin of its transaction.
        assert_eq!(run(|end, _| Some(end - 5)).await, Some((5, 2)));
    }

    #[tokio::test]
    async fn nothing_settles_before_the_offset_is_committed() {
        let late = |end, asked| (asked > 1).then_some(end - 5);
        assert_eq!(run(late).await, Some((5, 3)));
        assert_eq!(run(|_, _| None).await, None);
        // The first marker's own offset is its begin, and no proof.
        assert_eq!(run(|_, _| Some(5)).await, None);
    }

    #[tokio::test]
    async fn an_offset_that_does_not_move_again_is_not_enough() {
        assert_eq!(run(|_, _| Some(15)).await, None);
    }

    #[tokio::test]
    async fn an_offset_of_another_server_proves_nothing() {
        assert_eq!(run(|_, _| Some(1_000_000)).await, None);
    }
}
