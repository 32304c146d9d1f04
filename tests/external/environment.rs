//! Variables of libpq's in the environment: the driver completes a URL by those that say who connects and how safely, and
//! those that change a session have no effect.

use sqlx::{Connection as _, PgConnection};

use super::outside::{Outside, PASSWORD, undisturbed};
use super::support::again::{again_as, passed, role};
use super::support::here;

const STATE: &str = "select concat_ws(' ', session_user, current_setting('intervalstyle'), current_setting('work_mem'), \
                     current_setting('jit'), current_setting('geqo'))";
/// The word at the end is refused by a server that reads it.
const OPTIONS: &str = "-c intervalstyle=iso_8601 -c jit=on -c geqo=off nonsense";

async fn state(connection: &mut PgConnection) -> String {
    sqlx::query_scalar(STATE)
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_password_from_the_environment_is_used_and_settings_are_not() {
    if role().is_none() {
        if !undisturbed(here!()) {
            return;
        }
        let Some(outside) = Outside::start().await else {
            return;
        };
        let url = outside
            .role("app", "createdb")
            .await
            .replace(&format!(":{PASSWORD}"), "");
        let url = url + "?options=-c%20jit%3Doff&options[geqo]=on";
        let mut child = again_as("with variables", here!());
        outside.environment(&mut child, &url, "here");
        child
            .env("PGPASSWORD", PASSWORD)
            .env("PGOPTIONS", OPTIONS)
            .env("PGAPPNAME", "another");
        passed(&child.output().unwrap());
        return;
    }
    let expected = "app postgres 5MB off on";
    let harness = ebbtide::Harness::builder()
        .setting("work_mem", "5MB")
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(state(&mut tx).await, expected);
    tx.close().await.unwrap();
    let database = harness.database().await.unwrap();
    assert!(!database.url().contains("nonsense"), "{}", database.url());
    assert_eq!(
        state(&mut database.pool().acquire().await.unwrap()).await,
        expected
    );
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    assert_eq!(state(&mut connection).await, expected);
    connection.close().await.unwrap();
    database.close().await.unwrap();
}
