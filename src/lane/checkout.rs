//! What a test received and must return, and what happens to it if the test drops it.

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::in_use::LaneInUse;
use super::kept::KeptDatabase;
use super::pool::LaneSetting;
use super::report::TestReport;
use crate::config::{Keep, Sourced};
use crate::error::Result;

/// A lane that is open for a test. Each way to use a lane implements it.
pub(super) trait OpenLane: Send + 'static {
    fn in_use(&self) -> &LaneInUse;

    /// Ends the use and gives the lane back to its pool.
    ///
    /// # Errors
    /// A commit of what the test wrote would have failed, or the lane could not be taken back.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>>;

    /// Commits what the test wrote, and keeps its database for a person to inspect.
    ///
    /// # Errors
    /// The commit fails, or the database cannot be kept.
    fn keep(self: Box<Self>) -> BoxFuture<'static, Result<KeptDatabase>>;
}

/// What a test received and has dropped. It is closed or kept when the test ends.
pub(crate) struct Checkout(Box<dyn OpenLane>);

impl Checkout {
    pub(super) fn new(open: impl OpenLane) -> Self {
        Self(Box::new(open))
    }

    /// # Errors
    /// As for [`OpenLane::close`].
    pub(crate) async fn close(self) -> Result<()> {
        self.0.close().await
    }

    /// # Errors
    /// As for [`OpenLane::keep`].
    pub(crate) async fn keep(self) -> Result<KeptDatabase> {
        self.0.keep().await
    }

    /// Collects what a report on a failed or slow test contains.
    pub(crate) fn report(&self) -> TestReport {
        TestReport::of(self.0.in_use())
    }

    /// Whether slow statements are reported, also for a test that has passed.
    pub(crate) fn logs_plans(&self) -> bool {
        self.setting().log_plans_slower_than.is_some()
    }

    /// Which tests keep their databases, by the plan of this one.
    pub(crate) fn planned_keep(&self) -> &Sourced<Keep> {
        &self.setting().keep
    }

    /// The name of the plan, unless it is the default plan.
    pub(crate) fn plan(&self) -> Option<&str> {
        self.setting().plan.as_deref()
    }

    fn setting(&self) -> &LaneSetting {
        self.0.in_use().lanes.setting()
    }

    fn runtime(&self) -> Handle {
        self.setting().runtime.clone()
    }
}

/// What happens to a checkout when its handle is dropped.
#[derive(Debug, Clone)]
pub(crate) enum OnDrop {
    /// The background runtime closes the checkout. An error can no longer make the test fail, so
    /// ebbtide prints it.
    CloseInBackground,
    /// The receiver closes or keeps it at the end of the test.
    SendTo(UnboundedSender<Checkout>),
}

impl OnDrop {
    pub(super) fn apply(&self, checkout: Checkout) {
        let checkout = match self {
            Self::CloseInBackground => checkout,
            Self::SendTo(collector) => match collector.send(checkout) {
                Ok(()) => return,
                // The handle was dropped after the end of the test, when nothing receives any more.
                Err(not_received) => not_received.0,
            },
        };
        // The result of the test is not known here. A panic in this thread means that it failed.
        // The report is collected before the close, which gives the lane to other tests.
        let report = std::thread::panicking().then(|| checkout.report());
        // The test's own runtime may be ending, and would drop the task.
        checkout.runtime().spawn(async move {
            // The error can no longer make the test fail.
            if let Err(error) = checkout.close().await {
                print_error(&error);
            }
            if let Some(report) = report {
                print_report(&report.of_failure(&report.log().await));
            }
        });
    }
}

#[expect(clippy::print_stderr, reason = "a failure report")]
fn print_report(report: &str) {
    eprint!("ebbtide: a test failed\n{report}");
}

#[expect(clippy::print_stderr, reason = "a failure report")]
fn print_error(error: &crate::error::Error) {
    eprintln!("ebbtide: {error} (call `close().await` to make this fail the test)");
}
