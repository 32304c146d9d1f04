//! The end of a test: its checkouts are closed or kept, and its report is written.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::context::TestContext;
use crate::config::{Keep, format_duration};
use crate::error::{Error, ErrorKind, Result};
use crate::harness;
use crate::lane::{Checkout, TestReport};

/// How long a task or a static may hold a checkout beyond the test's end. The limit starts again
/// after each checkout.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);

/// The outcome of the test's own body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
}

/// The outcome of a test's end.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The first error in closing or keeping a checkout.
    pub(crate) outcome: Result<()>,
    /// Text for stderr: the report of a failed test, slow statements, and kept databases. Usually
    /// empty.
    pub(crate) report: String,
}

/// Lines of a report beyond its title. The rest is only counted.
const MAX_REPORT_LINES: usize = 36;

/// Closes or keeps every checkout of the test, and waits for those that are still held.
pub(crate) async fn end(
    context: &TestContext,
    collected: UnboundedReceiver<Checkout>,
    verdict: Verdict,
) -> Ended {
    context.finish();
    let keeps = match context.keep() {
        Keep::Never => false,
        Keep::Failed => verdict == Verdict::Failed,
        Keep::Always => true,
    };
    let test = context.test_name().to_owned();
    // On the background runtime, because the clock of the test's own may be paused
    // (`start_paused`).
    let ending = match harness::in_background(collect(collected, keeps, verdict, test)) {
        Ok(ending) => ending.await,
        Err(error) => Err(error),
    };
    ending.unwrap_or_else(|error| Ended {
        outcome: Err(error),
        report: String::new(),
    })
}

/// Receives checkouts until every sender is gone.
///
/// Each `Tx`, `Sandbox` and `Database` of the test holds a sender, so the end of the channel proves
/// that the test holds none of them. The report of a checkout is prepared before the checkout is
/// closed. It fixes the interval of the server's log that belongs to the test. It also copies the
/// waits, which end with the lane's presence.
async fn collect(
    mut collected: UnboundedReceiver<Checkout>,
    keeps: bool,
    verdict: Verdict,
    test: String,
) -> Ended {
    let (mut outcome, mut reports, mut kept) = (Ok(()), Vec::new(), Vec::new());
    loop {
        match tokio::time::timeout(RETURN_TIMEOUT, collected.recv()).await {
            Ok(Some(checkout)) => {
                reports.extend(
                    (verdict == Verdict::Failed || checkout.logs_plans())
                        .then(|| checkout.report()),
                );
                let closed = if keeps {
                    checkout.keep().await.map(|database| {
                        let term = format_duration(database.expires_in);
                        kept.push(format!(
                            "ebbtide: the database of {test} is kept for {term}: {database}\n"
                        ));
                    })
                } else {
                    checkout.close().await
                };
                outcome = outcome.and(closed);
            }
            Ok(None) => break,
            Err(_) => {
                outcome = outcome.and(Err(still_held(&test)));
                break;
            }
        }
    }
    let mut report = render(&reports, verdict, &test).await;
    report.extend(kept);
    Ended { outcome, report }
}

async fn render(reports: &[TestReport], verdict: Verdict, test: &str) -> String {
    let mut body = String::new();
    for report in reports {
        let log = report.log().await;
        if verdict == Verdict::Failed {
            body += &report.of_failure(&log);
        }
        body += &report.of_slow_statements(&log);
    }
    if body.is_empty() {
        return body;
    }
    let title = if verdict == Verdict::Failed {
        "test {} failed"
    } else {
        "slow statements of test {}"
    };
    let mut report = format!("ebbtide: {}\n", title.replace("{}", test));
    report.extend(
        body.lines()
            .take(MAX_REPORT_LINES)
            .flat_map(|line| [line, "\n"]),
    );
    let left = body.lines().count().saturating_sub(MAX_REPORT_LINES);
    report.extend((left > 0).then(|| format!("  and {left} more lines\n")));
    report
}

fn still_held(test: &str) -> Error {
    Error::new(
        ErrorKind::StillInUse,
        format!(
            "test {test} has ended, and its database is still held {} s later",
            RETURN_TIMEOUT.as_secs()
        ),
    )
    .with_help(
        "look for a `Tx`, `Sandbox` or `Database` in a static, in a task that still runs, or in a \
         cycle of `Arc`s",
    )
}
