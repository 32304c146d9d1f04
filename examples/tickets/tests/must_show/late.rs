//! A server that accepts connections late, like one in a container that has just been started.

use std::time::Duration;

use ebbtide::Database;
use ebbtide_example_shared::testing::{Log, forward, reserved_port, with_port};
use ebbtide_example_shared::{ConnectError, RetryPolicy};
use ebbtide_example_tickets::{StartError, open};
use url::Url;

use super::Outcome;

/// The start of the line that the program logs after every failed attempt.
const WAITING: &str = "waiting for the database: ";

#[ebbtide::test]
async fn the_program_waits_for_a_server_that_accepts_connections_late(
    database: Database,
) -> Outcome {
    let (socket, port) = reserved_port();
    let log = Log::default();
    let url = with_port(port, database.url());
    let opening =
        tokio::spawn(log.capture(async move { open(&url, RetryPolicy::default()).await }));
    // The port refuses connections.
    log.wait_for_lines(WAITING, 2).await;
    // Like a container's published port while the server in the container does not listen yet: it
    // accepts connections and closes them.
    let listener = socket.listen(16)?;
    for _ in 0..2 {
        drop(listener.accept().await?);
    }
    log.wait_for_lines(WAITING, 4).await;
    assert!(!opening.is_finished());
    // Now the server accepts connections.
    let relay = tokio::spawn(forward(listener, database.url().to_owned()));
    let pool = opening.await??;
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&pool)
        .await?;
    let own: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&database.pool())
        .await?;
    assert_eq!(name, own);
    pool.close().await;
    relay.abort();
    Ok(())
}

#[ebbtide::test]
async fn waiting_for_a_server_that_never_starts_ends_with_an_error(database: Database) {
    let (socket, port) = reserved_port();
    let retry = RetryPolicy {
        timeout: Duration::from_millis(100),
        interval: Duration::from_millis(10),
    };
    let error = open(&with_port(port, database.url()), retry)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StartError::Connect(ConnectError::NotReachable { .. })
        ),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(
        message.starts_with(&format!(
            "PostgreSQL at 127.0.0.1:{port} must accept connections within 100ms, but "
        )),
        "{message}"
    );
    assert!(message.contains("refused"), "{message}");
    drop(socket);
}

#[ebbtide::test]
async fn a_permanent_error_ends_the_wait_immediately(database: Database) -> Outcome {
    let mut url = Url::parse(database.url())?;
    url.set_path("/there_is_no_such_database");
    let log = Log::default();
    let error = log
        .capture(open(url.as_str(), RetryPolicy::default()))
        .await
        .unwrap_err();
    let StartError::Connect(ConnectError::Rejected { source, .. }) = error else {
        panic!("{error:?}")
    };
    // invalid_catalog_name
    assert_eq!(
        source.as_database_error().unwrap().code().as_deref(),
        Some("3D000")
    );
    assert!(!log.text().contains(WAITING), "{}", log.text());
    Ok(())
}
