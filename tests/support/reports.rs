//! Errors and their reports. In a report's snapshot, placeholders replace what differs between runs
//! and machines.

use std::time::{Duration, Instant};

use ebbtide::{Error, ErrorKind, Tx};

use ebbtide::config::Builder;
use ebbtide::report::{HealthReport, ProvisionReport};
use ebbtide::schema::LedgerClaim;

use super::Scratch;
use super::child_process::child_role;

/// Asserts an error's kind, that it has a help text, and its whole report.
macro_rules! assert_report {
    ($scratch:expr, $error:expr, $kind:ident, @$report:literal) => {{
        let error = &$error;
        assert_eq!(error.kind(), ebbtide::ErrorKind::$kind, "{error:?}");
        assert!(error.help().is_some_and(|help| help.len() > 10), "the error must have a help text: {error:?}");
        $crate::support::reports::replacements(&$scratch).bind(|| insta::assert_snapshot!(format!("{error:?}"), @$report));
    }};
}

/// The claim of the plan's first ledger.
pub fn first_claim(health: &HealthReport) -> &LedgerClaim {
    let claim = health.ledgers.first().and_then(|it| it.claim.as_ref());
    claim.unwrap_or_else(|| panic!("the database must have a ledger: {health}"))
}

/// Placeholders for paths, versions, and the server's log in a report's snapshot.
pub fn replacements(scratch: &Scratch) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    let root = scratch.path("");
    if let Some(place) = child_role() {
        settings.add_filter(&literal(&place), "[PLACE]");
    }
    let root = root.to_str().unwrap().trim_end_matches('/');
    settings.add_filter(&literal(root), "[SCRATCH]");
    settings.add_filter(r"servers/[0-9a-f]{8}\.[0-9a-f]{8}", "servers/[INSTANCE]");
    settings.add_filter(
        r"PostgreSQL \d+(\.\d+|\w+\d+)( \([^)]*\))?",
        "PostgreSQL [VERSION]",
    );
    settings.add_filter(r"postgresql-\d+", "postgresql-[MAJOR]");
    settings.add_filter(
        r"belongs to user \d+, not \d+",
        "belongs to user [THEIRS], not [OURS]",
    );
    settings.add_filter(r"initdb-\d+-[0-9a-f]{8}", "initdb-[VERSION]");
    settings.add_filter(r"\d+ MB are free", "[SOME] MB are free");
    settings.add_filter(
        "error communicating with database: .*",
        "[THE DRIVER'S WORDS]",
    );
    settings.add_filter(
        r"(?m)^  (the supervisor's output|the server's log ends):\n(?:    .*(?:\n|$))+",
        "  $1:\n    [LOG]\n",
    );
    settings
}

/// A pattern that matches exactly this text: a path or an image's name may have special characters.
pub fn literal(text: &str) -> String {
    // `regex` accepts a backslash before all punctuation, but `\<` and `\>` are word boundaries.
    let is_special = |c: char| c.is_ascii_punctuation() && !['<', '>'].contains(&c);
    text.chars()
        .flat_map(|c| is_special(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// The error of a plan that is refused.
pub fn plan_error(builder: Builder) -> Error {
    builder.build().expect_err("the plan is refused")
}

/// Provisions, and returns the report of the template's build.
pub async fn provision_report(builder: Builder) -> ProvisionReport {
    let template = builder.build().unwrap().provision().await.unwrap();
    template.provisioned
}

/// The error of provisioning on the server that all tests share. Also asserts that no half-built
/// database remains there.
pub async fn provision_error(builder: Builder) -> Error {
    let error = builder
        .build()
        .unwrap()
        .tx()
        .await
        .expect_err("provisioning is refused");
    assert_no_build_remains().await;
    error
}

/// Asserts that every database which is being built now is gone within a minute.
///
/// Other tests build on the same server at the same time, so the list need not be empty. But a
/// build ends when its database is renamed or dropped, so each of the present names must disappear.
pub async fn assert_no_build_remains() {
    let scratch = Scratch::new();
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    let present = builds(&mut tx).await;
    let deadline = Instant::now() + Duration::from_mins(1);
    while let Some(remaining) = builds(&mut tx)
        .await
        .into_iter()
        .find(|name| present.contains(name))
    {
        assert!(
            Instant::now() < deadline,
            "the half-built database {remaining} still exists"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tx.close().await.unwrap();
}

/// The names of the databases that are being built.
async fn builds(tx: &mut Tx) -> Vec<String> {
    sqlx::query_scalar(
        "select datname::text from pg_database where starts_with(datname::text, 'ebbtide_b_')",
    )
    .fetch_all(&mut **tx)
    .await
    .unwrap()
}

/// The error of a server's start in the test's own state directory. Also waits until no instance
/// remains there.
pub async fn start_error(scratch: &Scratch, builder: Builder) -> Error {
    let error = builder
        .build()
        .unwrap()
        .tx()
        .await
        .expect_err("the start is refused");
    scratch.wait_until_servers_end();
    error
}

/// Asserts an error's kind, that it has a help text, and that its report contains all of these
/// texts.
#[track_caller]
pub fn assert_report_contains(error: &Error, kind: ErrorKind, texts: &[&str]) {
    let report = format!("{error:?}");
    assert_eq!(error.kind(), kind, "{report}");
    assert!(
        error.help().is_some(),
        "the error must have a help text: {report}"
    );
    for text in texts {
        assert!(report.contains(text), "the report lacks {text:?}: {report}");
    }
}
