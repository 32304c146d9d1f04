//! What the attribute `ebbtide::test` expands to. Not for people: it changes without notice.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use sqlx::migrate::Migrator;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;

pub use crate::config::Keep;
use crate::config::PgEnum;
use crate::error::{Error, Result};
use crate::lane::Checkout;
pub use crate::lane::IsolationLevel;
use crate::scarcity::Scarcity;
pub use crate::test_arg::PoolKind;
use crate::test_arg::{TestArg, TestContext, TestSpec, Verdict, during, end, poll_during};
pub use tokio;

/// What the attribute says about a test.
#[derive(Debug)]
pub struct Test {
    spec: TestSpec,
}

impl Test {
    /// `path` is the test's path with its crate's name in front.
    #[must_use]
    pub fn new(path: &str) -> Self {
        // As the test runner calls it.
        let name = path
            .split_once("::")
            .map_or(path, |(_, name)| name)
            .to_owned();
        Self {
            spec: TestSpec {
                name,
                ..TestSpec::default()
            },
        }
    }

    /// See [`Setup::fixture`](crate::Setup::fixture), as for the others.
    #[must_use]
    pub fn fixture(self, path: &str, sql: &str) -> Self {
        self.adjust(|setup| setup.fixture(path, sql))
    }

    #[must_use]
    pub fn migrations(self, dir: &str) -> Self {
        self.adjust(|setup| setup.migrations(dir))
    }

    #[must_use]
    pub fn no_migrations(self) -> Self {
        self.adjust(crate::Setup::no_migrations)
    }

    #[must_use]
    pub fn migrator(self, migrator: &'static Migrator) -> Self {
        self.adjust(|setup| setup.migrator(migrator))
    }

    #[must_use]
    pub fn expect_table(self, table: &str) -> Self {
        self.adjust(|setup| setup.expect_table(table))
    }

    #[must_use]
    pub fn expect_rows(self, table: &str, rows: u64) -> Self {
        self.adjust(|setup| setup.expect_rows(table, rows))
    }

    #[must_use]
    pub fn expect_enum(self, name: &str, labels: &[&str]) -> Self {
        self.adjust(|setup| setup.expect_enum(name, labels))
    }

    #[must_use]
    pub fn expect_enum_of<T: PgEnum>(self) -> Self {
        self.adjust(crate::Setup::expect_enum_of::<T>)
    }

    #[must_use]
    pub fn pool(mut self, pool: PoolKind) -> Self {
        self.spec.pool = pool;
        self
    }

    #[must_use]
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.spec.tx = self.spec.tx.isolation_level(level);
        self
    }

    #[must_use]
    pub fn savepoints(mut self) -> Self {
        self.spec.tx = self.spec.tx.savepoints();
        self
    }

    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.spec.keep = Some(keep);
        self
    }

    fn adjust(mut self, change: impl FnOnce(crate::Setup) -> crate::Setup) -> Self {
        self.spec.setup = change(std::mem::take(&mut self.spec.setup));
        self
    }
}

/// Makes one argument. Boxed, because an `async fn` would tell a type that is no [`TestArg`] twice.
#[must_use]
pub fn argument<'a, T: TestArg + 'a>(
    context: &'a TestContext,
) -> Pin<Box<dyn Future<Output = Result<T>> + 'a>> {
    Box::pin(T::from_test(context))
}

/// What a test does, from making its arguments to its verdict: whether it has failed.
type Work<'a> = Pin<Box<dyn Future<Output = Result<Verdict>> + 'a>>;

/// Runs an asynchronous test. What is generic here is compiled once for each test of a crate, so it is little.
///
/// # Panics
/// The test panics, its arguments cannot be made, or what it was lent cannot be closed well.
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

/// Runs a test that is not asynchronous, outside any runtime.
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

const FINISHED: &str = "a test without an output has panicked";

/// Why there is no outcome.
enum Ending {
    Panic(Box<dyn Any + Send>),
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
                "the test's runtime cannot be built: {error}{}",
                help.unwrap_or_default()
            )
        }
    }
}

/// Awaits as a part of the test, and catches a panic: what the test was lent must come back.
async fn caught(context: &TestContext, mut work: Work<'_>) -> Result<Verdict, Ending> {
    let polled = std::future::poll_fn(|waker| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(waker))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(verdict)) => Poll::Ready(verdict.map_err(Ending::NoArguments)),
            Err(panic) => Poll::Ready(Err(Ending::Panic(panic))),
        }
    });
    let outcome = poll_during(context, pin!(polled)).await;
    // What it still holds comes back before the end.
    during(context, || drop(work));
    outcome
}

/// Takes back what the test was lent, and panics if the test or that has failed without saying so itself.
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

/// A test's outcome, to be asked whether it is a failure.
#[derive(Debug)]
pub struct Outcome<'a, T>(pub &'a T);

/// Preferred by method resolution where it applies.
pub trait OfResult {
    fn failed(&self) -> bool;
}

impl<T, E> OfResult for Outcome<'_, std::result::Result<T, E>> {
    fn failed(&self) -> bool {
        self.0.is_err()
    }
}

/// For every other outcome.
pub trait OfAny {
    fn failed(&self) -> bool;
}

impl<T> OfAny for &Outcome<'_, T> {
    fn failed(&self) -> bool {
        false
    }
}
