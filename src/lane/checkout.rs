//! What a test has been lent, and who takes it back.

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::database::OpenDatabase;
use super::kept::KeptDatabase;
use super::pool::LanePool;
use super::report::TestReport;
use super::sandbox::OpenSandbox;
use super::tx::OpenTx;
use crate::error::Result;

/// Something of a test's that has to be closed or kept when the test ends.
pub(crate) enum Checkout {
    Tx(OpenTx),
    Sandbox(OpenSandbox),
    Database(OpenDatabase),
}

impl Checkout {
    /// # Errors
    /// What the test did would not have been committed, or the lane could not be taken back.
    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::Tx(open) => open.close().await,
            Self::Sandbox(open) => open.close().await,
            Self::Database(open) => open.close().await,
        }
    }

    /// Commits what the test wrote, and keeps its database to be looked at.
    pub(crate) async fn keep(self) -> Result<KeptDatabase> {
        match self {
            Self::Tx(open) => open.keep().await,
            Self::Sandbox(open) => open.keep().await,
            Self::Database(open) => open.keep().await,
        }
    }

    /// What a person wants to know of it when the test has failed, or was slow.
    pub(crate) fn report(&self) -> TestReport {
        match self {
            Self::Tx(open) => open.report(),
            Self::Sandbox(open) => open.report(),
            Self::Database(open) => open.report(),
        }
    }

    /// Whether slow statements are told also of a test that has passed.
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

/// Who takes back what is dropped.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// The background runtime. It cannot make the test fail any more, so it prints.
    Background,
    /// Somebody who waits for the end of the test.
    Collected(UnboundedSender<Checkout>),
}

impl Ending {
    pub(super) fn take_back(&self, checkout: Checkout) {
        let checkout = match self {
            Self::Background => checkout,
            Self::Collected(collector) => match collector.send(checkout) {
                Ok(()) => return,
                // The test is over, and this was held beyond its end.
                Err(uncollected) => uncollected.0,
            },
        };
        // Nobody says what came of the test, but a panic shows.
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
