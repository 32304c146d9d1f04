//! A `Database` is as new, whoever had its lane before.

use std::collections::BTreeSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ORDER: &str =
    "insert into orders (product, customer, quantity) values (1, 'Laura', 1) returning id";
const LANE: &str = "select current_database()";

/// Takes a database and wants the first id. Says which database it was.
async fn first_id_in_a_database() -> Result<String, Box<dyn std::error::Error>> {
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
async fn ids_begin_anew_in_a_database_after_a_sandbox() -> Outcome {
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        let sandbox = ebbtide::sandbox().await?;
        before.insert(
            sqlx::query_scalar::<_, String>(LANE)
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
        after.insert(first_id_in_a_database().await?);
    }
    assert!(
        !before.is_disjoint(&after),
        "no database had been a sandbox: {before:?}, {after:?}"
    );
    Ok(())
}

#[ebbtide::test]
async fn ids_begin_anew_in_a_database_after_a_transaction() -> Outcome {
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        let mut tx = ebbtide::tx().await?;
        before.insert(
            sqlx::query_scalar::<_, String>(LANE)
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
        after.insert(first_id_in_a_database().await?);
    }
    assert!(
        !before.is_disjoint(&after),
        "no database had been in a transaction: {before:?}, {after:?}"
    );
    Ok(())
}
