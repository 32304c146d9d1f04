//! When forks, checkpoints and their sources end.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use super::{CHANGES, add, harness, state, titles};
use crate::support::Scratch;
use crate::support::pool_sql::run;
use crate::support::wait::HANG_LIMIT;

/// The databases of forks and checkpoints with the fingerprint of `database`, as another database
/// sees them.
async fn copies(admin: &PgPool, database: &str) -> Vec<String> {
    let prefix = database.rsplitn(3, '_').last().unwrap();
    let query = format!(
        "select datname::text from pg_database where starts_with(datname::text, '{prefix}_') \
         and split_part(datname::text, '_', 4)::int >= 64 order by 1"
    );
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(admin)
        .await
        .unwrap()
}

async fn wait_until_none(admin: &PgPool, database: &str) {
    let deadline = std::time::Instant::now() + HANG_LIMIT;
    loop {
        let left = copies(admin, database).await;
        if left.is_empty() {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{left:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A template of its own, because the test counts the databases.
fn own_harness(scratch: &Scratch, name: &str) -> ebbtide::Harness {
    let own = format!("comment on table shelves is '{name}'");
    scratch.write("migrations/2_own.sql", &own);
    harness(scratch)
}

#[tokio::test]
async fn source_forks_and_checkpoints_may_end_in_any_order() {
    let scratch = Scratch::new();
    let harness = own_harness(&scratch, "any order");
    let watching = harness.database().await.unwrap();
    let admin = watching.pool();
    for round in 0..3 {
        let source = harness.database().await.unwrap();
        add(&source, "Emma").await;
        let (checkpoint, fork) = (
            source.checkpoint().await.unwrap(),
            source.fork().await.unwrap(),
        );
        let of_fork = fork.checkpoint().await.unwrap();
        assert_eq!(copies(&admin, source.name()).await.len(), 3);
        let name = source.name().to_owned();
        match round {
            0 => {
                drop((source, checkpoint));
                add(&fork, "later").await;
                fork.rewind_to(&of_fork).await.unwrap();
                assert_eq!(titles(&fork).await, "Emma");
                drop((fork, of_fork));
            }
            1 => {
                drop((of_fork, checkpoint));
                fork.close().await.unwrap();
                drop(source);
            }
            _ => {
                fork.close().await.unwrap();
                source.close().await.unwrap();
                drop((checkpoint, of_fork));
            }
        }
        wait_until_none(&admin, &name).await;
    }
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing_and_does_not_disturb_the_source() {
    let scratch = Scratch::new();
    let harness = own_harness(&scratch, "dropped futures");
    let watching = harness.database().await.unwrap();
    let admin = watching.pool();
    let source = harness.database().await.unwrap();
    run(&source.pool(), CHANGES).await;
    let before = state(&source).await;
    let checkpoint = source.checkpoint().await.unwrap();
    for milliseconds in [0, 3, 10, 25] {
        let limit = Duration::from_millis(milliseconds);
        let _ = tokio::time::timeout(limit, source.fork()).await;
        let _ = tokio::time::timeout(limit, source.checkpoint()).await;
        let _ = tokio::time::timeout(limit, source.rewind_to(&checkpoint)).await;
    }
    // It waits for all of the above.
    source.rewind_to(&checkpoint).await.unwrap();
    assert_eq!(state(&source).await, before);
    // A source whose rewinding still runs can be closed.
    let _ = tokio::time::timeout(Duration::from_millis(5), source.rewind_to(&checkpoint)).await;
    let name = source.name().to_owned();
    source.close().await.unwrap();
    drop(checkpoint);
    wait_until_none(&admin, &name).await;
}
