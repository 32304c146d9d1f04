//! A test that ends its transaction, or violates a constraint, fails.

use super::{count, database, harness};
use crate::support::Scratch;
use crate::support::sql::{code, run};
use ebbtide::{ErrorKind, Tx, TxOptions};

/// Both kinds of transaction. Only with savepoints, a failed statement undoes only itself.
fn kinds() -> [TxOptions; 2] {
    [TxOptions::new(), TxOptions::new().savepoints()]
}

#[tokio::test]
async fn a_stray_commit_changes_nothing_and_fails_the_test() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    for kind in kinds() {
        for stray in [
            "commit",
            "commit and chain",
            "end",
            "insert into parents (name) values ('b'); commit",
        ] {
            let mut tx = harness.tx_with(kind).await.unwrap();
            run(&mut tx, "insert into parents (name) values ('a')")
                .await
                .unwrap();
            let refused = run(&mut tx, stray).await.unwrap_err();
            assert_eq!(code(&refused), "25000", "{kind:?}: {stray}");
            assert!(refused.to_string().contains("COMMIT refused"), "{refused}");
            // Outside the transaction, the connection is read-only.
            let refused = run(&mut tx, "insert into parents (name) values ('c')")
                .await
                .unwrap_err();
            assert_eq!(code(&refused), "25006", "{kind:?}: {stray}");
            assert_escaped_by_commit(tx).await;

            let mut next = harness.tx().await.unwrap();
            assert_eq!(count(&mut next, "parents").await, 0, "{kind:?}: {stray}");
            next.close().await.unwrap();
        }
        let mut tx = harness.tx_with(kind).await.unwrap();
        let prepared = sqlx::query("commit").execute(&mut *tx).await.unwrap_err();
        assert_eq!(code(&prepared), "25000", "{kind:?}: {prepared}");
        assert_escaped_by_commit(tx).await;
    }
}

async fn assert_escaped_by_commit(tx: Tx) {
    let error = tx.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEscaped, "{error:?}");
    assert!(error.help().unwrap().contains("COMMIT"), "{error:?}");
}

#[tokio::test]
async fn a_test_that_leaves_its_transaction_fails_and_its_database_is_not_used_again() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let ways_out = [
        "rollback; begin read write; insert into parents (name) values ('escaped'); commit",
        "rollback and chain; insert into parents (name) values ('escaped'); commit",
        "rollback",
        "rollback and chain",
        "rollback; begin read write",
    ];
    for kind in kinds() {
        for way_out in ways_out {
            // Another error after it must not hide that the test has left its transaction.
            for fails_later in [false, true] {
                let case = format!("{kind:?}: {way_out}, fails later: {fails_later}");
                let mut tx = harness.tx_with(kind).await.unwrap();
                let before = database(&mut tx).await;
                run(&mut tx, way_out).await.unwrap();
                if fails_later {
                    let failed = run(&mut tx, "select 1/0").await.unwrap_err();
                    assert_eq!(code(&failed), "22012", "{case}");
                }
                let error = tx.close().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TransactionEscaped, "{case}");

                let mut next = harness.tx().await.unwrap();
                assert_eq!(count(&mut next, "parents").await, 0, "{case}");
                assert_ne!(database(&mut next).await, before, "{case}");
                next.close().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_violated_deferred_constraint_fails_the_test_and_is_named() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let [plain, savepoints] = kinds();
    for (kind, fails_later) in [(plain, false), (savepoints, false), (savepoints, true)] {
        let mut tx = harness.tx_with(kind).await.unwrap();
        let before = database(&mut tx).await;
        run(&mut tx, "insert into children (parent) values (42)")
            .await
            .unwrap();
        if fails_later {
            let failed = run(&mut tx, "select 1/0").await.unwrap_err();
            assert_eq!(code(&failed), "22012", "{kind:?}");
        }
        let error = tx.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConstraintViolated, "{kind:?}");
        assert!(
            error.to_string().contains("children_parent_fkey"),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("a_violated_deferred_constraint_fails_the_test_and_is_named"),
            "{error}"
        );

        let mut next = harness.tx().await.unwrap();
        assert_eq!(count(&mut next, "children").await, 0, "{kind:?}");
        // Nothing was committed, so the lane is used again. After savepoints, the next test can take
        // another lane: the session behind the relay ends, and files that have grown are emptied in
        // the background.
        if kind == plain {
            assert_eq!(database(&mut next).await, before);
        }
        next.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_failed_statement_leaves_a_usable_lane() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    let before = database(&mut tx).await;
    run(&mut tx, "insert into parents (name) values ('a')")
        .await
        .unwrap();
    let error = run(&mut tx, "insert into parents (name) values ('a')")
        .await
        .unwrap_err();
    assert_eq!(code(&error), "23505");
    assert_eq!(code(&run(&mut tx, "select 1").await.unwrap_err()), "25P02");
    tx.close().await.unwrap();

    let mut tx = harness.tx().await.unwrap();
    assert_eq!(count(&mut tx, "parents").await, 0);
    assert_eq!(database(&mut tx).await, before);
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_test_that_sets_another_role_is_guarded_too() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let mut tx = harness.tx().await.unwrap();
    // The owner of a database is a member of this role there, so it needs no right to create roles.
    // https://www.postgresql.org/docs/current/predefined-roles.html
    run(
        &mut tx,
        "grant select, insert on parents to pg_database_owner; set local role pg_database_owner",
    )
    .await
    .unwrap();
    run(&mut tx, "insert into parents (name) values ('a')")
        .await
        .unwrap();
    tx.close().await.unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(count(&mut tx, "parents").await, 0);
    tx.close().await.unwrap();
}
