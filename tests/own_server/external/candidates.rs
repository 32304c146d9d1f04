//! `Harness::diff` compares a database with the result of the migrations. The role may only read
//! the catalogs.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::external_server::{ExternalServer, PASSWORD};
use crate::support::this_test;

/// Creates a database with the migration's table and two more tables, which another role owns.
/// Returns its URL for a role without any privilege on them.
async fn create_candidate(external: &ExternalServer) -> String {
    external.run("create database candidate").await;
    let url = external
        .create_role("reader", "")
        .await
        .replace("/postgres", "/candidate");
    let owner = external
        .create_role("owner", "superuser")
        .await
        .replace("/postgres", "/candidate");
    let mut connection = PgConnection::connect(&owner).await.unwrap();
    let things = std::fs::read_to_string(external.scratch.path("migrations/1_things.sql")).unwrap();
    let more = "create table secrets (id int); \
                create table _sqlx_migrations (version bigint, success bool);";
    sqlx::raw_sql(AssertSqlSafe(format!("{things} {more}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    url
}

#[tokio::test]
async fn a_role_without_privileges_compares_a_database_with_at_most_six_messages() {
    let Some(external) = ExternalServer::start_with(
        this_test!(),
        "fsync = off\nlog_statement = all\nlog_line_prefix = '%u '",
        |_| (),
    )
    .await
    else {
        return;
    };
    let harness = external
        .builder(&external.create_role("app", "createdb").await)
        .build()
        .unwrap();
    let report = harness
        .diff(&create_candidate(&external).await)
        .await
        .unwrap();
    let extra: Vec<String> = report.diff.extra.iter().map(ToString::to_string).collect();
    assert_eq!(extra, ["table secrets"], "{report}");
    let ledger = report.found.ledger.unwrap();
    assert_eq!(ledger.to_string(), "_sqlx_migrations cannot be read");
    let log = external.log();
    let statements: Vec<&str> = log
        .lines()
        .filter(|line| {
            line.starts_with("reader LOG:")
                && (line.contains("statement: ") || line.contains("execute "))
        })
        .collect();
    assert!(
        (3..=6).contains(&statements.len()),
        "{} statements: {statements:#?}",
        statements.len()
    );
    assert!(statements[0].contains("read only"), "{}", statements[0]);
}

#[tokio::test]
async fn a_wrong_password_for_a_compared_database_is_rejected_and_not_printed() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external.builder(&url).build().unwrap();
    let error = harness
        .diff(&url.replace(PASSWORD, "wr0ng"))
        .await
        .expect_err("the password is wrong");
    external.replacements().bind(|| {
        assert_report!(external.scratch, error, AccessDenied, @r#"
        the server rejects the login with postgres://app:***@127.0.0.1:[PORT]/postgres
          caused by: password authentication failed for user "app"
          help: correct the role or the password in the URL, or allow the role in pg_hba.conf and with GRANT CONNECT
        "#);
    });
}
