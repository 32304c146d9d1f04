//! The test that runs on this thread.
//!
//! The current test is a thread-local that is set only while the test's future is polled. So two
//! tests whose futures share a thread do not see each other's context. A task or thread that the
//! test starts has no context, and uses the process's default harness.

use std::cell::RefCell;
use std::pin::Pin;

use super::context::TestContext;

thread_local! {
    static CURRENT: RefCell<Option<TestContext>> = const { RefCell::new(None) };
}

/// The test that runs on this thread, if it has the attribute.
pub(crate) fn current() -> Option<TestContext> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `work` as a part of a test.
pub(crate) fn during<T>(context: &TestContext, work: impl FnOnce() -> T) -> T {
    /// Restores the previous test, also when the work panics.
    struct Restore(Option<TestContext>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(context.clone())));
    work()
}

/// Awaits `work` as a part of a test.
pub(crate) async fn poll_during<T>(
    context: &TestContext,
    mut work: Pin<&mut (impl Future<Output = T> + ?Sized)>,
) -> T {
    std::future::poll_fn(|waker| during(context, || work.as_mut().poll(waker))).await
}
