//! A server that accepts connections late, as one does in a container that was started a moment ago.

use std::time::Duration;

use ebbtide::Database;
use ebbtide_example_shared::testing::{Log, forward, reserved_port, through};
use ebbtide_example_shared::{ConnectError, Patience};
use ebbtide_example_tickets::{StartError, open};
use url::Url;

use super::Outcome;

const WAITING: &str = "waiting for the database: ";

#[ebbtide::test]
async fn a_server_that_accepts_connections_late_is_waited_for(database: Database) -> Outcome {
    let (socket, port) = reserved_port();
    let log = Log::default();
    let url = through(port, database.url());
    let opening = tokio::spawn(log.of(async move { open(&url, Patience::default()).await }));
    // Nobody listens.
    log.until(WAITING, 2).await;
    // The container's port is published, and nobody listens in the container: connections are accepted and closed.
    let listener = socket.listen(16)?;
    for _ in 0..2 {
        drop(listener.accept().await?);
    }
    log.until(WAITING, 4).await;
    assert!(!opening.is_finished());
    // Now it is there.
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
async fn a_server_that_never_comes_is_not_waited_for_ever(database: Database) {
    let (socket, port) = reserved_port();
    let patience = Patience {
        within: Duration::from_millis(100),
        pause: Duration::from_millis(10),
    };
    let error = open(&through(port, database.url()), patience)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::Connect(ConnectError::NoServer { .. })),
        "{error:?}"
    );
    let said = error.to_string();
    assert!(
        said.starts_with(&format!(
            "PostgreSQL at 127.0.0.1:{port} accepts no connections after 100ms: "
        )),
        "{said}"
    );
    assert!(said.contains("refused"), "{said}");
    drop(socket);
}

#[ebbtide::test]
async fn a_refusal_that_will_not_pass_is_not_waited_for(database: Database) -> Outcome {
    let mut url = Url::parse(database.url())?;
    url.set_path("/there_is_no_such_database");
    let log = Log::default();
    let error = log
        .of(open(url.as_str(), Patience::default()))
        .await
        .unwrap_err();
    let StartError::Connect(ConnectError::Refused { source, .. }) = error else {
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
