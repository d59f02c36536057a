//! Resuming shown to work, on a real Kafka and two fanouts: every test is a sentence that must hold.
//!
//! What the operator would write is written by hand here, so that a test can make and break Kafka
//! topics as it likes: `cargo test -p e2e --test resume`.

mod resuming;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use e2e::trials::{self, Test};

use world::World;

/// Names tests by their function, for [`main`].
macro_rules! tests {
    ($($name:ident,)*) => {
        [$((
            stringify!($name),
            (|world: &mut World| Box::pin(resuming::$name(world))) as Test<World>,
        )),*]
    };
}

fn main() -> Result<ExitCode> {
    let tests = tests![
        each_row_comes_once_on_another_fanout,
        rows_from_before_the_window_are_a_gap,
        another_epoch_is_a_gap,
        an_offset_that_never_was_is_a_gap,
        resumes_wait_for_kafka,
        compaction_holds_up_nobody,
        compaction_in_the_midst_of_a_read_holds_up_nobody,
        a_feed_resumes_in_all_its_topics,
        a_topic_that_grows_loses_nothing_for_who_is_connected,
    ];
    trials::run(World::up(), tests.into())
}
