//! Tests that share one world, run one after the other.

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

/// A test: may stop and start programs and servers, and leaves them running.
pub type Test<W> = for<'a> fn(&'a mut W) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Names tests of a world by their module and function, for [`run`]:
/// `tests![World; story::a_row_arrives, story::another_follows,]`.
#[macro_export]
macro_rules! tests {
    ($world:ty; $($module:ident :: $name:ident,)*) => {
        vec![$((
            concat!(stringify!($module), "::", stringify!($name)),
            (|world: &mut $world| Box::pin($module::$name(world))) as $crate::trials::Test<$world>,
        )),*]
    };
}

/// Runs those of `tests` that the command line names, in a world that `up` makes.
///
/// # Errors
/// When there is no world.
pub fn run<W: Send + 'static>(
    up: impl Future<Output = Result<W>>,
    tests: Vec<(&'static str, Test<W>)>,
) -> Result<ExitCode> {
    let arguments = Arguments {
        // The tests share the servers, and some of them stop one.
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    if arguments.list {
        let trials = tests.iter().map(|(name, _)| Trial::test(*name, || Ok(())));
        return Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code());
    }
    let runtime = Arc::new(Runtime::new()?);
    let world = Arc::new(Mutex::new(runtime.block_on(up)?));
    let trials = tests.into_iter().map(|(name, test)| {
        let (runtime, world) = (Arc::clone(&runtime), Arc::clone(&world));
        Trial::test(name, move || {
            // A test that panicked has left the servers and programs as they are.
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            runtime
                .block_on(test(&mut world))
                .map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Ends the servers: the last handle goes, inside the runtime that their processes belong to.
    let _runtime = runtime.enter();
    drop(world);
    Ok(conclusion.exit_code())
}
