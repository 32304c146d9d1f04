//! The end of a test: everything that it was lent comes back.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::context::TestContext;
use crate::config::{Keep, spell};
use crate::error::{Error, ErrorKind, Result};
use crate::harness;
use crate::lane::{Checkout, TestReport};

/// How long something that the test has started may hold what the test was lent.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);

/// What came of the test itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
}

/// What the end of a test has to say.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The first thing that could not be closed well.
    pub(crate) outcome: Result<()>,
    /// What a person wants to know, whatever came of it; empty most of the time.
    pub(crate) report: String,
}

/// Lines of a report.
const MAX_NAME_WIDTH: usize = 36;

/// Closes or keeps what the test was lent.
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
    // On the background runtime: the test's own clock may stand still.
    let ending = match harness::in_background(take_back(collected, keeps, verdict, test)) {
        Ok(ending) => ending.await,
        Err(error) => Err(error),
    };
    ending.unwrap_or_else(|error| Ended {
        outcome: Err(error),
        report: String::new(),
    })
}

async fn take_back(
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
                    checkout.keep().await.map(|stays| {
                        let term = spell(stays.expires_in());
                        kept.push(format!(
                            "ebbtide: the database of {test} is kept for {term}: {stays}\n"
                        ));
                    })
                } else {
                    checkout.close().await
                };
                outcome = outcome.and(closed);
            }
            Ok(None) => break,
            Err(_) => {
                outcome = outcome.and(Err(held_beyond(&test)));
                break;
            }
        }
    }
    let mut report = tell(&reports, verdict, &test).await;
    report.extend(kept);
    Ended { outcome, report }
}

async fn tell(reports: &[TestReport], verdict: Verdict, test: &str) -> String {
    let mut told = String::new();
    for report in reports {
        let log = report.log().await;
        if verdict == Verdict::Failed {
            told += &report.of_failure(&log);
        }
        told += &report.of_slow_statements(&log);
    }
    if told.is_empty() {
        return told;
    }
    let title = if verdict == Verdict::Failed {
        "test {} failed"
    } else {
        "slow statements of test {}"
    };
    let mut report = format!("ebbtide: {}\n", title.replace("{}", test));
    report.extend(
        told.lines()
            .take(MAX_NAME_WIDTH)
            .flat_map(|line| [line, "\n"]),
    );
    let left = told.lines().count().saturating_sub(MAX_NAME_WIDTH);
    report.extend((left > 0).then(|| format!("  and {left} lines more\n")));
    report
}

fn held_beyond(test: &str) -> Error {
    Error::new(
        ErrorKind::StillInUse,
        format!("test {test} is over, and what it was lent is still held after {} s", RETURN_TIMEOUT.as_secs()),
    )
    .with_help("look for a `Tx`, `Sandbox` or `Database` in a static, in a task that goes on, or in a cycle of `Arc`s")
}
