//! Databases that are compared with what the migrations make, by a role that may only look.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::outside::{Outside, PASSWORD, undisturbed};
use super::support::here;

/// A database with the migration's table and one more, all of it somebody else's.
async fn candidate(outside: &Outside) -> String {
    outside.run("create database candidate").await;
    let url = outside
        .role("reader", "")
        .await
        .replace("/postgres", "/candidate");
    let owner = outside
        .role("owner", "superuser")
        .await
        .replace("/postgres", "/candidate");
    let mut connection = PgConnection::connect(&owner).await.unwrap();
    let things = std::fs::read_to_string(outside.scratch.path("migrations/1_things.sql")).unwrap();
    let more = "create table secrets (id int); create table _sqlx_migrations (version bigint, success bool);";
    sqlx::raw_sql(AssertSqlSafe(format!("{things} {more}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    url
}

#[tokio::test]
async fn a_role_that_may_only_look_compares_with_twenty_statements() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::with(
        "fsync = off\nlog_statement = all\nlog_line_prefix = '%u '",
        |_| (),
    )
    .await
    else {
        return;
    };
    let harness = outside
        .builder(&outside.role("app", "createdb").await)
        .build()
        .unwrap();
    let report = harness.diff(&candidate(&outside).await).await.unwrap();
    let told: Vec<String> = report.diff.extra.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["table secrets"], "{report}");
    let claim = report.found_ledger.unwrap();
    assert_eq!(claim.to_string(), "_sqlx_migrations cannot be read");
    let log = outside.log();
    let statements: Vec<&str> = log
        .lines()
        .filter(|line| {
            line.starts_with("reader LOG:")
                && (line.contains("statement: ") || line.contains("execute "))
        })
        .collect();
    assert!(
        (10..=20).contains(&statements.len()),
        "{} statements: {statements:#?}",
        statements.len()
    );
    assert!(statements[0].contains("read only"), "{}", statements[0]);
}

#[tokio::test]
async fn a_wrong_password_of_a_candidate_is_refused_and_not_told() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside.builder(&url).build().unwrap();
    let error = harness
        .diff(&url.replace(PASSWORD, "wr0ng"))
        .await
        .expect_err("the password is wrong");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(":{}", outside.port()), ":[PORT]");
    settings.bind(|| {
        assert_report!(outside.scratch, error, AccessDenied, @r#"
        the server does not let us in with postgres://app:***@127.0.0.1:[PORT]/postgres
          caused by: password authentication failed for user "app"
          help: correct the role or its password in the URL, or see to it that pg_hba.conf and GRANT CONNECT let it in
        "#);
    });
}
