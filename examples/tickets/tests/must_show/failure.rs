//! The original failure, and the check that detects it.

use axum::http::StatusCode;
use ebbtide::Database;
use ebbtide_example_shared::RetryPolicy;
use ebbtide_example_shared::testing::{Log, post};
use ebbtide_example_tickets::{migrate, open};

use super::Outcome;
use super::app::{LOGIN, REGISTER, app, laura};

#[ebbtide::test(migrations = false)]
async fn without_migrations_registration_and_login_return_500_and_the_log_has_the_reason(
    database: Database,
) {
    let app = app(database.pool());
    for path in [REGISTER, LOGIN] {
        let log = Log::default();
        let (status, body) = log.capture(post(&app, path, &laura())).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
        assert!(
            log.text().contains("relation \"users\" does not exist"),
            "{path}: {}",
            log.text()
        );
        assert!(
            !body.to_string().contains("users"),
            "the response must not reveal the schema: {body}"
        );
    }
}

// The application's role may not create tables.
#[ebbtide::test(migrations = false, role = "postgres")]
async fn the_startup_check_detects_missing_migrations_and_migrate_applies_them(
    database: Database,
) -> Outcome {
    let url = database.url();
    let error = open(url, RetryPolicy::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("current none, expected 20250417090000"),
        "{error}"
    );
    let state = migrate(url, RetryPolicy::default()).await?;
    assert_eq!(
        state.to_string(),
        "current 20250417090000, expected 20250417090000"
    );
    let pool = open(url, RetryPolicy::default()).await?;
    assert_eq!(
        post(&app(pool.clone()), REGISTER, &laura()).await.0,
        StatusCode::CREATED
    );
    pool.close().await;
    Ok(())
}
