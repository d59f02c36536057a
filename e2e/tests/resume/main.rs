//! Resuming shown to work, on a real Kafka and two fanouts: every test is a sentence that must hold.
//!
//! What the operator would write is written by hand here, so that a test can make and break Kafka
//! topics as it likes: `cargo test -p e2e --test resume`.

mod resuming;
mod world;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use world::World;

type Test = for<'a> fn(&'a mut World) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Names tests by their function, for [`main`].
macro_rules! tests {
    ($($name:ident,)*) => {
        [$((
            stringify!($name),
            (|world: &mut World| Box::pin(resuming::$name(world))) as Test,
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
        a_feed_resumes_in_all_its_topics,
        a_topic_that_grows_loses_nothing_for_who_is_connected,
    ];
    let arguments = Arguments {
        // The tests share the servers, and one of them stops Kafka.
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    if arguments.list {
        let trials = tests.map(|(name, _)| Trial::test(name, || Ok(())));
        return Ok(libtest_mimic::run(&arguments, trials.into()).exit_code());
    }
    let runtime = Arc::new(Runtime::new()?);
    let world = Arc::new(Mutex::new(runtime.block_on(World::up())?));
    let trials = tests.map(|(name, test)| {
        let (runtime, world) = (Arc::clone(&runtime), Arc::clone(&world));
        Trial::test(name, move || {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            runtime
                .block_on(test(&mut world))
                .map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    // Ends the servers: the last handle goes, inside the runtime that their processes belong to.
    let _runtime = runtime.enter();
    drop(world);
    Ok(conclusion.exit_code())
}
