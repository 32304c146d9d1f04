//! What a test received and must return, and what happens to it if the test drops it.

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::kept::KeptDatabase;
use super::open_database::OpenDatabase;
use super::open_sandbox::OpenSandbox;
use super::open_tx::OpenTx;
use super::pool::LanePool;
use super::report::TestReport;
use crate::error::Result;

/// Why a `Tx`, `Sandbox` or `Database` still has its lane when a method is called.
pub(super) const OPEN_UNTIL_CONSUMED: &str =
    "only close, keep and drop take the lane, and they own the value";

/// A `Tx`, `Sandbox` or `Database` of a test, which is closed or kept when the test ends.
pub(crate) enum Checkout {
    Tx(OpenTx),
    Sandbox(OpenSandbox),
    Database(OpenDatabase),
}

impl Checkout {
    /// # Errors
    /// A commit of what the test wrote would have failed, or the lane could not be taken back.
    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::Tx(open) => open.close().await,
            Self::Sandbox(open) => open.close().await,
            Self::Database(open) => open.close().await,
        }
    }

    /// Commits what the test wrote, and keeps its database for a person to inspect.
    pub(crate) async fn keep(self) -> Result<KeptDatabase> {
        match self {
            Self::Tx(open) => open.keep().await,
            Self::Sandbox(open) => open.keep().await,
            Self::Database(open) => open.keep().await,
        }
    }

    /// Collects what a report on a failed or slow test contains.
    pub(crate) fn report(&self) -> TestReport {
        match self {
            Self::Tx(open) => open.report(),
            Self::Sandbox(open) => open.report(),
            Self::Database(open) => open.report(),
        }
    }

    /// Whether slow statements are reported, also for a test that has passed.
    pub(crate) fn logs_plans(&self) -> bool {
        self.lanes().setting().log_plans_slower_than.is_some()
    }

    fn lanes(&self) -> &LanePool {
        match self {
            Self::Tx(open) => &open.pool,
            Self::Sandbox(open) => &open.lanes,
            Self::Database(open) => &open.lanes,
        }
    }

    fn runtime(&self) -> Handle {
        self.lanes().setting().runtime.clone()
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
        let report = std::thread::panicking().then(|| checkout.report());
        checkout.runtime().spawn(async move {
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
