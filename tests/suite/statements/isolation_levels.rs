//! The isolation level of a transaction.

use super::{add, assert_refused, harness};
use crate::support::Scratch;
use crate::support::sql::run;
use ebbtide::config::IsolationLevel;
use ebbtide::{Tx, TxOptions};
use sqlx::{Connection as _, PgConnection};

#[tokio::test]
async fn the_transaction_has_the_requested_isolation_level() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let levels = [
        (IsolationLevel::ReadCommitted, "read committed"),
        (IsolationLevel::RepeatableRead, "repeatable read"),
        (IsolationLevel::Serializable, "serializable"),
    ];
    for (level, name) in levels {
        for options in [TxOptions::new(), TxOptions::new().savepoints()] {
            let mut tx = harness
                .tx_with(options.isolation_level(level))
                .await
                .unwrap();
            let isolation_level: String = sqlx::query_scalar("show transaction_isolation")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            assert_eq!(isolation_level, name);
            add(&mut tx, "Laura").await.unwrap();
            tx.close().await.unwrap();
        }
    }
    let mut tx = harness.tx().await.unwrap();
    let isolation_level: String = sqlx::query_scalar("show transaction_isolation")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(isolation_level, "read committed");
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_write_conflict_fails_from_repeatable_read_upwards() {
    let scratch = Scratch::new();
    // A template of its own, because another connection commits in a lane.
    scratch.write(
        "migrations/1_counters.sql",
        "create table conflicts as select 1 as id, 0 as value",
    );
    let harness = scratch.builder().build().unwrap();
    let read = async |tx: &mut Tx| -> i32 {
        sqlx::query_scalar("select value from conflicts")
            .fetch_one(&mut **tx)
            .await
            .unwrap()
    };
    let add_one = "update conflicts set value = value + 1";
    for level in [
        IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead,
        IsolationLevel::Serializable,
    ] {
        let mut tx = harness
            .tx_with(TxOptions::new().isolation_level(level).savepoints())
            .await
            .unwrap();
        let before = read(&mut tx).await;
        let mut other = PgConnection::connect(&tx.url()).await.unwrap();
        // Sessions of the URL are read-only by default, so the transaction states `read write`.
        run(
            &mut other,
            "begin read write; update conflicts set value = value + 1; commit",
        )
        .await
        .unwrap();
        other.close().await.unwrap();
        let update = run(&mut tx, add_one).await;
        if level == IsolationLevel::ReadCommitted {
            update.unwrap();
            assert_eq!(read(&mut tx).await, before + 2);
        } else {
            assert_refused(update, "40001");
            assert_eq!(read(&mut tx).await, before);
        }
        tx.close().await.unwrap();
    }
}
