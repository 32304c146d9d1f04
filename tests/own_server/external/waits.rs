//! A lock wait on an external server: the failure report names the test that holds the lock.

use ebbtide::Database;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use super::external_server::ExternalServer;
use crate::support::child_process::{child_role, test_command_as};
use crate::support::{current_thread_runtime, this_test};

/// Connects and executes `sql`. The session stays open with the returned connection.
async fn open_session(
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
fn a_lock_wait_is_reported_with_the_name_of_the_test_that_holds_the_lock() {
    #[ebbtide::test]
    async fn subject(database: Database) {
        open_session(
            &database.connect_options(),
            "insert into things (name) values ('one')",
        )
        .await
        .unwrap();
        let other = database
            .connect_options()
            .application_name("orders::another_test");
        let _other = open_session(&other, "begin; update things set name = 'two'")
            .await
            .unwrap();
        let own = "set lock_timeout = '3s'; update things set name = 'three'";
        open_session(&database.connect_options(), own)
            .await
            .unwrap();
    }
    if child_role().as_deref() == Some("subject") {
        return subject();
    }
    let runtime = current_thread_runtime();
    let Some(external) = runtime.block_on(ExternalServer::start(this_test!())) else {
        return;
    };
    let url = runtime.block_on(external.create_role("app", "superuser"));
    let mut child = test_command_as("subject", this_test!());
    external.set_environment(&mut child, &url, "here");
    let output = child.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    let report: Vec<&str> = stderr
        .lines()
        .skip_while(|line| !line.starts_with("ebbtide: test "))
        .collect();
    assert!(report.len() < 40, "{stderr}");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"ebbtide_l_\w+", "[DATABASE]");
    settings.add_filter(r"PostgreSQL [^(\n]*", "PostgreSQL [VERSION] ");
    settings.add_filter(r"waited \d+\.\d s", "waited [TIME]");
    settings.bind(|| insta::assert_snapshot!(report.join("\n"), @r"
    ebbtide: test external::waits::subject failed
      it had a Database: [DATABASE] on PostgreSQL [VERSION] (external)
      the server's log cannot be read: the server does not write it to a file (logging_collector = off)
      external::waits::subject has waited [TIME] for a lock: set lock_timeout = '3s'; update things set name = 'three'
          orders::another_test holds it (idle in transaction), last statement: begin; update things set name = 'two'
    "));
}
