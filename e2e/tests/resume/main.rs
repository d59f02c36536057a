//! Resuming shown to work, on a real Kafka and two fanouts: every test is a sentence that must hold.
//!
//! What the operator would write is written by hand here, so that a test can make and break Kafka
//! topics as it likes: `cargo test -p e2e --test resume`.

mod resuming;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use e2e::{tests, trials};

use world::World;

fn main() -> Result<ExitCode> {
    let tests = tests![
        World;
        resuming::each_row_comes_once_on_another_fanout,
        resuming::rows_from_before_the_window_are_a_gap,
        resuming::another_epoch_is_a_gap,
        resuming::an_offset_that_never_was_is_a_gap,
        resuming::resumes_wait_for_kafka,
        resuming::compaction_holds_up_nobody,
        resuming::compaction_in_the_midst_of_a_read_holds_up_nobody,
        resuming::a_feed_resumes_in_all_its_topics,
        resuming::a_topic_that_grows_loses_nothing_for_who_is_connected,
    ];
    trials::run(World::up(), tests)
}
