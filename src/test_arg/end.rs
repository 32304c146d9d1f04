//! The end of a test: its checkouts are closed or kept, and its report is written.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::context::TestContext;
use crate::config::{Keep, Source, Sourced, format_duration};
use crate::error::{Error, ErrorKind, Result};
use crate::harness;
use crate::lane::{Checkout, TestReport, of_plan};

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

/// Lines of a report beyond its title, for each database. The rest is only counted.
const MAX_REPORT_LINES: usize = 36;

/// Closes or keeps every checkout of the test, and waits for those that are still held.
pub(crate) async fn end(
    context: &TestContext,
    collected: UnboundedReceiver<Checkout>,
    verdict: Verdict,
) -> Ended {
    context.finish();
    let keep = context.keep();
    let test = context.test_name().to_owned();
    // On the background runtime, because the clock of the test's own may be paused
    // (`start_paused`).
    let ending = match harness::in_background(collect(collected, keep, verdict, test)) {
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
    keep: Option<Keep>,
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
                let plan = of_plan(checkout.plan());
                let closed = if keeps(checkout.planned_keep(), keep, verdict) {
                    checkout.keep().await.map(|database| {
                        let term = format_duration(database.expires_in);
                        kept.push(format!(
                            "ebbtide: the database{plan} of {test} is kept for {term}: {database}\n"
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

/// Whether a database is kept. A variable, which holds for one run, overrides the attribute. The
/// attribute overrides `ebbtide.toml` and the builder.
fn keeps(planned: &Sourced<Keep>, of_attribute: Option<Keep>, verdict: Verdict) -> bool {
    let keep = match (&planned.source, of_attribute) {
        (Source::Variable(_) | Source::DotEnv(_), _) | (_, None) => planned.value,
        (_, Some(of_attribute)) => of_attribute,
    };
    match keep {
        Keep::Never => false,
        Keep::Failed => verdict == Verdict::Failed,
        Keep::Always => true,
    }
}

async fn render(reports: &[TestReport], verdict: Verdict, test: &str) -> String {
    let mut body = String::new();
    for report in reports {
        let log = report.log().await;
        let mut section = String::new();
        if verdict == Verdict::Failed {
            section += &report.of_failure(&log);
        }
        section += &report.of_slow_statements(&log);
        body.extend(shortened(&section));
    }
    if body.is_empty() {
        return body;
    }
    let title = if verdict == Verdict::Failed {
        "test {} failed"
    } else {
        "slow statements of test {}"
    };
    format!("ebbtide: {}\n{body}", title.replace("{}", test))
}

/// The first lines of the part of a report that is about one database, each with its end.
fn shortened(section: &str) -> impl Iterator<Item = String> {
    let left = section.lines().count().saturating_sub(MAX_REPORT_LINES);
    let rest = (left > 0).then(|| format!("  and {left} more lines\n"));
    let lines = section.lines().take(MAX_REPORT_LINES);
    lines.map(|line| format!("{line}\n")).chain(rest)
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
