//! Tests of several machines may meet in each other's locks; whoever fails there learns whose they are.

use ebbtide::Database;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::runtime::Builder;

use super::outside::{Outside, undisturbed};
use super::support::again::{again_as, role};
use super::support::here;

async fn session(
    options: &PgConnectOptions,
    sql: &'static str,
) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

#[test]
fn a_lock_that_another_test_has_is_told_by_that_tests_name() {
    #[ebbtide::test]
    async fn subject(database: Database) {
        session(
            &database.connect_options(),
            "insert into things (name) values ('one')",
        )
        .await
        .unwrap();
        let other = database
            .connect_options()
            .application_name("orders::another_test");
        let _other = session(&other, "begin; update things set name = 'two'")
            .await
            .unwrap();
        let own = "set lock_timeout = '3s'; update things set name = 'three'";
        session(&database.connect_options(), own).await.unwrap();
    }
    if role().as_deref() == Some("subject") {
        return subject();
    }
    if !undisturbed(here!()) {
        return;
    }
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let Some(outside) = runtime.block_on(Outside::start()) else {
        return;
    };
    let url = runtime.block_on(outside.role("app", "superuser"));
    let mut child = again_as("subject", here!());
    outside.environment(&mut child, &url, "here");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let report: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.starts_with("ebbtide: test "))
        .collect();
    assert!(report.len() < 40, "{said}");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"ebbtide_l_\w+", "[DATABASE]");
    settings.add_filter(r"PostgreSQL [^(\n]*", "PostgreSQL [VERSION] ");
    settings.add_filter(r"\d+\.\d s by now", "[TIME] by now");
    settings.bind(|| insta::assert_snapshot!(report.join("\n"), @r"
    ebbtide: test waits::subject failed
      it had a Database: [DATABASE] on PostgreSQL [VERSION] (external)
      the server's log cannot be read: it is not written to a file (logging_collector = off), where the server could read it to us
      waits::subject waits for a lock, for [TIME] by now: set lock_timeout = '3s'; update things set name = 'three'
          orders::another_test has it (idle in transaction), after: begin; update things set name = 'two'
    "));
}
