//! Bodies that leave objects in the server itself, such as roles and settings.
//!
//! ebbtide documents that it does not undo them. But they must not keep later tests from opening,
//! and must change nothing in their databases.

use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::hostile::bodies::SERVER_WIDE;
use crate::hostile::body::execute;
use crate::hostile::test_database::{Kind, TestDatabase};
use crate::hostile::test_server::{ServerKind, TestServer};
use crate::support::{runs_natively, this_test};

/// How long `DROP ROLE` is retried. It fails while a lane depends on the role, and ebbtide replaces
/// that lane by a new copy in the background.
const ROLE_REMOVAL_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_a_test_leaves_in_the_server_do_not_affect_the_next_test() {
    if !runs_natively(this_test!()) {
        return;
    }
    let mut findings = Vec::new();
    for server_kind in [ServerKind::Plain, ServerKind::Replicating] {
        // No other test uses this server, so the bodies' names of roles and databases are free.
        let server = TestServer::new(server_kind).await;
        for (body, removal) in SERVER_WIDE
            .iter()
            .filter(|(body, _)| body.server_kind() == server_kind)
        {
            let completed = server.run_body(body, Kind::Database).await.unwrap();
            for next in Kind::ALL {
                for finding in server.inspect_next(next, &completed).await {
                    // Settings of the server and of the role apply to every session.
                    if finding.part != "server" && finding.part != "session" {
                        findings.push(format!(
                            "{}, then {next}: {}: {}",
                            body.name, finding.part, finding.difference
                        ));
                    }
                }
            }
            remove(&server, body.name, removal).await;
            // With the object gone, even the server must be as before.
            for finding in server.inspect_next(Kind::Database, &completed).await {
                findings.push(format!(
                    "{}, after its removal: {}: {}",
                    body.name, finding.part, finding.difference
                ));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Runs the statements that remove what a body left in the server.
async fn remove(server: &TestServer, name: &str, removal: &str) {
    let test_database = server.open(Kind::Database).await.unwrap();
    let options = test_database.options();
    close(test_database).await;
    let removal = removal.replace("{role}", options.get_username());
    let mut admin = PgConnection::connect_with(&options.database("postgres"))
        .await
        .unwrap();
    let deadline = Instant::now() + ROLE_REMOVAL_TIMEOUT;
    for statement in removal.split("; ") {
        while let Err(error) = execute(&mut admin, statement).await {
            assert!(Instant::now() < deadline, "{name}: {statement}: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    admin.close().await.unwrap();
}

async fn close(test_database: TestDatabase) {
    test_database.close().await.unwrap();
}
