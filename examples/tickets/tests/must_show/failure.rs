//! The original failure, and what would have caught it.

use axum::http::StatusCode;
use ebbtide::Database;
use ebbtide_example_shared::Patience;
use ebbtide_example_shared::testing::{Log, post};
use ebbtide_example_tickets::{migrate, open};

use super::Outcome;
use super::app::{LOGIN, REGISTER, app, laura};

#[ebbtide::test(migrations = false)]
async fn without_migrations_registration_and_login_answer_500_and_the_log_says_why(
    database: Database,
) {
    let app = app(database.pool());
    for path in [REGISTER, LOGIN] {
        let log = Log::default();
        let (status, body) = log.of(post(&app, path, &laura())).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
        assert!(
            log.text().contains("relation \"users\" does not exist"),
            "{path}: {}",
            log.text()
        );
        assert!(
            !body.to_string().contains("users"),
            "the caller is told nothing of the schema: {body}"
        );
    }
}

#[ebbtide::test(migrations = false)]
async fn the_start_up_check_catches_it_and_migrating_cures_it(database: Database) -> Outcome {
    let url = database.url();
    let refused = open(url, Patience::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("current none, expected 20250410083000"),
        "{refused}"
    );
    let state = migrate(url, Patience::default()).await?;
    assert_eq!(
        state.to_string(),
        "current 20250410083000, expected 20250410083000"
    );
    let pool = open(url, Patience::default()).await?;
    assert_eq!(
        post(&app(pool.clone()), REGISTER, &laura()).await.0,
        StatusCode::CREATED
    );
    pool.close().await;
    Ok(())
}
