//! What a test leaves in the server is documented and not undone. It must not hinder the tests after it.

use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::bodies::SERVER_WIDE;
use crate::body::run;
use crate::given::{Given, Kind};
use crate::support::{here, natively};
use crate::world::{Setup, World};

/// A lane that depends on a role is replaced by a new copy in the background.
const DEPENDENT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_test_leaves_in_the_server_does_not_hinder_the_next() {
    if !natively(here!()) {
        return;
    }
    let mut hindered = Vec::new();
    for setup in [Setup::Plain, Setup::Replicating] {
        // A server of the test's own, so these names are free.
        let world = World::new(setup).await;
        for (body, removal) in SERVER_WIDE.iter().filter(|(body, _)| body.setup() == setup) {
            let played = world.play(body, Kind::Database).await.unwrap();
            for next in Kind::ALL {
                for finding in world.look(next, &played).await {
                    // Settings of the server and of a role reach every session.
                    if finding.part != "server" && finding.part != "session" {
                        hindered.push(format!(
                            "{}, then {next}: {}: {}",
                            body.name, finding.part, finding.difference
                        ));
                    }
                }
            }
            remove(&world, body.name, removal).await;
            for finding in world.look(Kind::Database, &played).await {
                hindered.push(format!(
                    "{}, removed: {}: {}",
                    body.name, finding.part, finding.difference
                ));
            }
        }
    }
    assert!(hindered.is_empty(), "{}", hindered.join("\n"));
}

async fn remove(world: &World, name: &str, removal: &str) {
    let given = world.open(Kind::Database).await.unwrap();
    let options = given.options();
    close(given).await;
    let removal = removal.replace("{role}", options.get_username());
    let mut admin = PgConnection::connect_with(&options.database("postgres"))
        .await
        .unwrap();
    let deadline = Instant::now() + DEPENDENT;
    for statement in removal.split("; ") {
        while let Err(error) = run(&mut admin, statement).await {
            assert!(Instant::now() < deadline, "{name}: {statement}: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    admin.close().await.unwrap();
}

async fn close(given: Given) {
    given.close().await.unwrap();
}
