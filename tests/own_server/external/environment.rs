//! libpq's environment variables. The driver completes a URL with those for login and encryption.
//! Those that change a session have no effect.

use sqlx::{Connection as _, PgConnection};

use super::external_server::{ExternalServer, PASSWORD};
use crate::support::child_process::{assert_passed, child_role, test_command_as};
use crate::support::this_test;

const SESSION_STATE_SQL: &str = "select concat_ws(' ', session_user, \
                                 current_setting('intervalstyle'), current_setting('work_mem'), \
                                 current_setting('jit'), current_setting('geqo'))";
/// A server that receives these options refuses the last word.
const OPTIONS: &str = "-c intervalstyle=iso_8601 -c jit=on -c geqo=off nonsense";

async fn session_state(connection: &mut PgConnection) -> String {
    sqlx::query_scalar(SESSION_STATE_SQL)
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_password_from_the_environment_is_used_and_settings_are_not() {
    if child_role().is_none() {
        let Some(external) = ExternalServer::start(this_test!()).await else {
            return;
        };
        let url = external
            .create_role("app", "createdb")
            .await
            .replace(&format!(":{PASSWORD}"), "");
        let url = url + "?options=-c%20jit%3Doff&options[geqo]=on";
        let mut child = test_command_as("with variables", this_test!());
        external.set_environment(&mut child, &url, "here");
        child
            .env("PGPASSWORD", PASSWORD)
            .env("PGOPTIONS", OPTIONS)
            .env("PGAPPNAME", "another");
        assert_passed(&child.output().unwrap());
        return;
    }
    let expected = "app postgres 5MB off on";
    let harness = ebbtide::Harness::builder()
        .setting("work_mem", "5MB")
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(session_state(&mut tx).await, expected);
    tx.close().await.unwrap();
    let database = harness.database().await.unwrap();
    assert!(!database.url().contains("nonsense"), "{}", database.url());
    assert_eq!(
        session_state(&mut database.pool().acquire().await.unwrap()).await,
        expected
    );
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    assert_eq!(session_state(&mut connection).await, expected);
    connection.close().await.unwrap();
    database.close().await.unwrap();
}
