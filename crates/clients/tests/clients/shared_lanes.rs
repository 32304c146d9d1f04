//! A `Database` has its initial state after another kind of test has used its lane.

use std::collections::BTreeSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ORDER: &str =
    "insert into orders (product, customer, quantity) values (1, 'Laura', 1) returning id";
const LANE_NAME: &str = "select current_database()";

/// Opens a database and asserts that the first id is 1. Returns the database's name.
async fn assert_first_id_in_a_database() -> Result<String, Box<dyn std::error::Error>> {
    let database = ebbtide::database().await?;
    assert_eq!(
        sqlx::query_scalar::<_, i32>(ORDER)
            .fetch_one(&database.pool())
            .await?,
        1,
        "{}",
        database.name()
    );
    let name = database.name().to_owned();
    database.close().await?;
    Ok(name)
}

#[ebbtide::test]
async fn ids_start_at_1_in_a_database_after_a_sandbox() -> Outcome {
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        let sandbox = ebbtide::sandbox().await?;
        before.insert(
            sqlx::query_scalar::<_, String>(LANE_NAME)
                .fetch_one(&*sandbox)
                .await?,
        );
        assert_eq!(
            sqlx::query_scalar::<_, i32>(ORDER)
                .fetch_one(&*sandbox)
                .await?,
            1
        );
        sandbox.close().await?;
        after.insert(assert_first_id_in_a_database().await?);
    }
    assert!(
        !before.is_disjoint(&after),
        "no lane was used for a sandbox first: {before:?}, {after:?}"
    );
    Ok(())
}

#[ebbtide::test]
async fn ids_start_at_1_in_a_database_after_a_transaction() -> Outcome {
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        let mut tx = ebbtide::tx().await?;
        before.insert(
            sqlx::query_scalar::<_, String>(LANE_NAME)
                .fetch_one(&mut *tx)
                .await?,
        );
        assert_eq!(
            sqlx::query_scalar::<_, i32>(ORDER)
                .fetch_one(&mut *tx)
                .await?,
            1
        );
        tx.close().await?;
        after.insert(assert_first_id_in_a_database().await?);
    }
    assert!(
        !before.is_disjoint(&after),
        "no lane was used for a transaction first: {before:?}, {after:?}"
    );
    Ok(())
}
