//! The items that the generated code calls, without a database. They record every option as a note,
//! and arguments are made of the notes.

use std::cell::{Cell, RefCell};
use std::fmt;

pub(crate) use ebbtide_macros::test;

pub(crate) struct TestContext {
    test: macro_support::Test,
    /// What was done for the arguments, in order.
    steps: RefCell<Vec<String>>,
}

pub(crate) struct Error;

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("cannot make the argument")
    }
}

thread_local! {
    /// Whether the last test of this thread has failed.
    pub(crate) static FAILED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// An argument: the test's name, then a note for each option.
pub(crate) struct Notes(pub(crate) String);

/// An argument: the steps before it was made.
pub(crate) struct Steps(pub(crate) Vec<String>);

/// An argument with a pattern.
pub(crate) struct Wrapper<T>(pub(crate) T);

/// An argument that cannot be made.
pub(crate) struct Unmakeable;

pub(crate) trait TestArg: Sized {
    async fn make(context: &TestContext) -> Result<Self, Error>;
}

impl TestArg for Notes {
    async fn make(context: &TestContext) -> Result<Self, Error> {
        Ok(Self(context.test.notes.join("; ")))
    }
}

impl TestArg for Steps {
    async fn make(context: &TestContext) -> Result<Self, Error> {
        Ok(Self(context.steps.take()))
    }
}

impl TestArg for Wrapper<u32> {
    async fn make(_: &TestContext) -> Result<Self, Error> {
        Ok(Self(7))
    }
}

impl TestArg for Unmakeable {
    async fn make(_: &TestContext) -> Result<Self, Error> {
        Err(Error)
    }
}

pub(crate) mod macro_support {
    use std::pin::Pin;

    use super::{Error, FAILED, TestArg, TestContext};

    pub(crate) use ::tokio;

    pub(crate) struct Test {
        pub(super) notes: Vec<String>,
    }

    #[derive(Default)]
    pub(crate) struct Expect {
        notes: Vec<String>,
    }

    #[derive(Debug, Clone, Copy)]
    pub(crate) enum PoolKind {
        Sandbox,
        Database,
    }

    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Keep {
        Always,
        Failed,
    }

    impl Test {
        pub(crate) fn new(name: &'static str, _package_root: Option<&str>) -> Self {
            Self {
                notes: vec![name.to_owned()],
            }
        }

        fn with_note(mut self, note: String) -> Self {
            self.notes.push(note);
            self
        }

        pub(crate) fn fixture(self, path: &'static str, text: &'static str) -> Self {
            self.with_note(format!("{path}: {}", text.trim()))
        }

        pub(crate) fn migrations(self, dir: &'static str) -> Self {
            self.with_note(format!("migrations {dir}"))
        }

        pub(crate) fn without_migrations(self) -> Self {
            self.with_note("no migrations".into())
        }

        pub(crate) fn migrator(self, migrator: &'static str) -> Self {
            self.with_note(format!("migrator {migrator}"))
        }

        pub(crate) fn migrations_up_to(self, version: impl std::fmt::Debug) -> Self {
            self.with_note(format!("up to {version:?}"))
        }

        pub(crate) fn pool(self, pool: PoolKind) -> Self {
            self.with_note(format!("{pool:?}"))
        }

        pub(crate) fn keep(self, keep: Keep) -> Self {
            self.with_note(format!("{keep:?}"))
        }

        pub(crate) fn expect(mut self, expect: Expect) -> Self {
            self.notes.extend(expect.notes);
            self
        }
    }

    impl Expect {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        fn with_note(mut self, note: String) -> Self {
            self.notes.push(note);
            self
        }

        pub(crate) fn table(self, name: &'static str) -> Self {
            self.with_note(format!("table {name}"))
        }

        pub(crate) fn rows(self, name: &'static str, count: u64) -> Self {
            self.with_note(format!("{name} has {count}"))
        }

        pub(crate) fn enum_labels<const N: usize>(
            self,
            name: &'static str,
            labels: [&str; N],
        ) -> Self {
            self.with_note(format!("{name} is {labels:?}"))
        }
    }

    pub(crate) struct Outcome<T>(pub(crate) T);

    pub(crate) trait OfAny {
        fn failed(&self) -> bool;
    }

    pub(crate) trait OfResult {
        fn failed(&self) -> bool;
    }

    impl<T> OfAny for &Outcome<&T> {
        fn failed(&self) -> bool {
            false
        }
    }

    impl<T, E> OfResult for Outcome<&Result<T, E>> {
        fn failed(&self) -> bool {
            self.0.is_err()
        }
    }

    /// The type of the future does not depend on the trait. Otherwise the compiler would report a
    /// type without `TestArg` twice.
    pub(crate) fn argument<'a, T: TestArg + 'a>(
        context: &'a TestContext,
    ) -> Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>> {
        Box::pin(T::make(context))
    }

    pub(crate) fn argument_of_plan<'a, T: TestArg + 'a>(
        context: &'a TestContext,
        plan: &'static str,
    ) -> Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>> {
        context.note(format!("announce {plan}"));
        Box::pin(async move {
            context.note(format!("make {plan}"));
            T::make(context).await
        })
    }

    pub(crate) struct Reserved<'a>(&'a TestContext);

    impl Drop for Reserved<'_> {
        fn drop(&mut self) {
            self.0.note("release".to_owned());
        }
    }

    #[expect(clippy::unused_async, reason = "the generated code awaits it")]
    pub(crate) async fn reserve(context: &TestContext) -> Result<Reserved<'_>, Error> {
        context.note("reserve".to_owned());
        Ok(Reserved(context))
    }

    impl TestContext {
        fn of(test: Test) -> Self {
            let steps = std::cell::RefCell::default();
            Self { test, steps }
        }

        fn note(&self, step: String) {
            self.steps.borrow_mut().push(step);
        }
    }

    pub(crate) fn run<A, F: Future>(
        test: Test,
        mut runtime: tokio::runtime::Builder,
        acquire: impl AsyncFnOnce(&TestContext) -> Result<A, Error>,
        body: impl FnOnce(A) -> F,
        failed: impl FnOnce(&F::Output) -> bool,
    ) -> F::Output {
        let runtime = runtime.build().expect("a runtime");
        let arguments = runtime
            .block_on(acquire(&TestContext::of(test)))
            .expect("arguments");
        let outcome = runtime.block_on(body(arguments));
        FAILED.set(Some(failed(&outcome)));
        outcome
    }

    pub(crate) fn run_blocking<A, R>(
        test: Test,
        acquire: impl AsyncFnOnce(&TestContext) -> Result<A, Error>,
        body: impl FnOnce(A) -> R,
        failed: impl FnOnce(&R) -> bool,
    ) -> R {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let outcome = body(
            runtime
                .block_on(acquire(&TestContext::of(test)))
                .expect("arguments"),
        );
        FAILED.set(Some(failed(&outcome)));
        outcome
    }
}
