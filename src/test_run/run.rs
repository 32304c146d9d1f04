//! The run of a test: arguments, body, end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;

use super::attribute::Test;
use crate::error::{Error, Result};
use crate::lane::Checkout;
use crate::scarcity::Scarcity;
use crate::test_arg::{TestContext, Verdict, during, end, poll_during};

/// A test, from its arguments to its verdict.
type Work<'a> = Pin<Box<dyn Future<Output = Result<Verdict>> + 'a>>;

/// Runs an asynchronous test. Generic code is compiled once for each test of a crate, so there is
/// little of it.
///
/// # Panics
/// The test panics, an argument cannot be made, or a checkout cannot be closed without an error.
pub fn run<A, F: Future>(
    test: Test,
    runtime: Builder,
    arguments: impl AsyncFnOnce(&TestContext) -> Result<A>,
    body: impl FnOnce(A) -> F,
    failed: impl FnOnce(&F::Output) -> bool,
) -> F::Output {
    let (context, collected) = TestContext::new(test.spec);
    let mut output = None;
    let work = async {
        let made = arguments(&context).await?;
        let verdict = failed(output.insert(body(made).await));
        Ok(if verdict {
            Verdict::Failed
        } else {
            Verdict::Passed
        })
    };
    drive(&context, collected, runtime, Box::pin(work));
    output.expect(FINISHED)
}

/// Runs a test that is not asynchronous. Its body runs outside any runtime.
///
/// # Panics
/// As for [`run`].
pub fn run_blocking<A, T>(
    test: Test,
    arguments: impl AsyncFnOnce(&TestContext) -> Result<A>,
    body: impl FnOnce(A) -> T,
    failed: impl FnOnce(&T) -> bool,
) -> T {
    let runtime = build(Builder::new_current_thread().enable_all());
    let (context, collected) = TestContext::new(test.spec);
    let (mut made, mut output) = (None, None);
    let making = async {
        made = Some(arguments(&context).await?);
        Ok(Verdict::Passed)
    };
    let ready = runtime.block_on(caught(&context, Box::pin(making)));
    let outcome = match (ready, made) {
        (Ok(_), Some(made)) => catch_unwind(AssertUnwindSafe(|| {
            during(&context, || failed(output.insert(body(made))))
        }))
        .map(|failed| {
            if failed {
                Verdict::Failed
            } else {
                Verdict::Passed
            }
        })
        .map_err(Ending::Panic),
        (ready, _) => ready,
    };
    runtime.block_on(finish(&context, collected, outcome));
    output.expect(FINISHED)
}

const FINISHED: &str = "a test without an output panics in `finish`";

/// Why a test has no verdict.
enum Ending {
    Panic(Box<dyn Any + Send>),
    /// An argument could not be made.
    NoArguments(Error),
}

fn drive(
    context: &TestContext,
    collected: UnboundedReceiver<Checkout>,
    mut runtime: Builder,
    work: Work<'_>,
) {
    build(&mut runtime).block_on(async {
        let outcome = caught(context, work).await;
        finish(context, collected, outcome).await;
    });
}

fn build(runtime: &mut Builder) -> Runtime {
    match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let help =
                Scarcity::of_start(&error).map(|scarcity| format!("\n  help: {}", scarcity.help()));
            panic!(
                "could not build the test's runtime: {error}{}",
                help.unwrap_or_default()
            )
        }
    }
}

/// Awaits a part of the test and catches its panic, so that the checkouts can be closed.
async fn caught(context: &TestContext, mut work: Work<'_>) -> Result<Verdict, Ending> {
    let polled = std::future::poll_fn(|waker| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(waker))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(verdict)) => Poll::Ready(verdict.map_err(Ending::NoArguments)),
            Err(panic) => Poll::Ready(Err(Ending::Panic(panic))),
        }
    });
    let outcome = poll_during(context, pin!(polled)).await;
    // The future may still hold checkouts. They are dropped as a part of the test, so `end`
    // collects them.
    during(context, || drop(work));
    outcome
}

/// Closes the test's checkouts and prints the report. Panics unless the test has passed, or has
/// failed by its own output, which the test runner reports.
#[expect(clippy::print_stderr, reason = "a failure report")]
async fn finish(
    context: &TestContext,
    collected: UnboundedReceiver<Checkout>,
    outcome: Result<Verdict, Ending>,
) {
    let verdict = outcome.as_ref().map_or(Verdict::Failed, |verdict| *verdict);
    let ended = end(context, collected, verdict).await;
    eprint!("{}", ended.report);
    let ending = match (outcome, ended.outcome) {
        (Ok(_), Ok(())) => return,
        (Ok(Verdict::Passed), Err(error)) => panic!("{error:?}"),
        (outcome, ended) => {
            if let Err(error) = ended {
                eprintln!("ebbtide: at the end of the test: {error:?}");
            }
            outcome
        }
    };
    match ending {
        Ok(_) => {}
        Err(Ending::Panic(panic)) => resume_unwind(panic),
        Err(Ending::NoArguments(error)) => panic!("the test has not begun: {error:?}"),
    }
}
