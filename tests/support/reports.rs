//! Failures and their reports, with everything replaced that differs from run to run and from machine to machine.
#![allow(
    dead_code,
    unused_macros,
    clippy::allow_attributes,
    reason = "every test binary uses a part of it"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "it is code of tests"
)]

use std::time::{Duration, Instant};

use ebbtide::{Builder, Error, ErrorKind, Tx};

use super::support::Scratch;
use super::support::again::role;

/// Asserts an error's kind, that it has a remedy, and its whole report.
macro_rules! assert_report {
    ($scratch:expr, $error:expr, $kind:ident, @$report:literal) => {{
        let error = &$error;
        assert_eq!(error.kind(), ebbtide::ErrorKind::$kind, "{error:?}");
        assert!(error.help().is_some_and(|help| help.len() > 10), "no remedy: {error:?}");
        $crate::reports::replacements(&$scratch).bind(|| insta::assert_snapshot!(format!("{error:?}"), @$report));
    }};
}

/// What the report's snapshot has instead of paths, versions, and the server's own log.
pub fn replacements(scratch: &Scratch) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    let root = scratch.path("");
    if let Some(place) = role() {
        settings.add_filter(&place, "[PLACE]");
    }
    settings.add_filter(root.to_str().unwrap().trim_end_matches('/'), "[SCRATCH]");
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
        r"(?m)^  (what was said|the server's log ends):\n(?:    .*(?:\n|$))+",
        "  $1:\n    [LOG]\n",
    );
    settings
}

/// The error of a plan that cannot be made.
pub fn unplanned(builder: Builder) -> Error {
    builder.build().expect_err("the plan is refused")
}

/// The error of provisioning on the server that all tests share, once nothing half-built is left there.
pub async fn refused(builder: Builder) -> Error {
    let error = builder
        .build()
        .unwrap()
        .tx()
        .await
        .expect_err("provisioning is refused");
    nothing_half_built().await;
    error
}

/// Other tests build on the same server meanwhile. What they build is renamed or dropped, so what is there now must go.
pub async fn nothing_half_built() {
    let scratch = Scratch::new();
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    let seen = builds(&mut tx).await;
    let deadline = Instant::now() + Duration::from_mins(1);
    while let Some(left) = builds(&mut tx)
        .await
        .into_iter()
        .find(|name| seen.contains(name))
    {
        assert!(Instant::now() < deadline, "{left} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tx.close().await.unwrap();
}

async fn builds(tx: &mut Tx) -> Vec<String> {
    sqlx::query_scalar(
        "select datname::text from pg_database where starts_with(datname::text, 'ebbtide_b_')",
    )
    .fetch_all(&mut **tx)
    .await
    .unwrap()
}

/// The error of a start on a server of the test's own, which has left no instance behind.
pub async fn not_started(scratch: &Scratch, builder: Builder) -> Error {
    let error = builder
        .build()
        .unwrap()
        .tx()
        .await
        .expect_err("the start is refused");
    scratch.wait_until_deserted();
    error
}

/// Asserts that an error's report holds all of these texts.
#[track_caller]
pub fn assert_tells(error: &Error, kind: ErrorKind, texts: &[&str]) {
    let report = format!("{error:?}");
    assert_eq!(error.kind(), kind, "{report}");
    assert!(error.help().is_some(), "no remedy: {report}");
    for text in texts {
        assert!(report.contains(text), "{text:?} is missing in: {report}");
    }
}
