//! Row level security between tenants, which `set_config` selects for each transaction.

use ebbtide::{Sandbox, Tx};
use sqlx::postgres::{PgConnection, PgPool};

/// Selects the workshop until the end of the transaction.
async fn act_for(connection: &mut PgConnection, workshop: i32) -> sqlx::Result<()> {
    sqlx::query("select set_config('app.workshop', $1::text, true)")
        .bind(workshop)
        .execute(connection)
        .await?;
    Ok(())
}

async fn accept(connection: &mut PgConnection, workshop: i32, bicycle: &str) -> sqlx::Result<()> {
    sqlx::query("insert into repairs (workshop_id, bicycle) values ($1, $2)")
        .bind(workshop)
        .bind(bicycle)
        .execute(connection)
        .await?;
    Ok(())
}

async fn bicycles(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select bicycle from repairs order by id")
        .fetch_all(connection)
        .await
}

#[ebbtide::test]
async fn a_workshop_sees_only_its_own_repairs(mut tx: Tx) -> sqlx::Result<()> {
    for (workshop, bicycle) in [(1, "Tandem"), (2, "Tricycle")] {
        act_for(&mut tx, workshop).await?;
        accept(&mut tx, workshop, bicycle).await?;
        assert_eq!(bicycles(&mut tx).await?, [bicycle]);
    }
    Ok(())
}

/// A request to the application: one transaction on a connection of the pool.
async fn accept_for(pool: &PgPool, workshop: i32, bicycle: &str) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    act_for(&mut transaction, workshop).await?;
    accept(&mut transaction, workshop, bicycle).await?;
    transaction.commit().await
}

#[ebbtide::test]
async fn a_request_that_forgets_the_workshop_gets_nothing(sandbox: Sandbox) -> sqlx::Result<()> {
    accept_for(&sandbox, 1, "Tandem").await?;

    // The next request gets the same connection, and the choice has ended with the first one.
    let mut request = sandbox.begin().await?;
    assert!(bicycles(&mut request).await?.is_empty());
    let refused = accept(&mut request, 1, "Unicycle").await.unwrap_err();
    assert!(
        refused.to_string().contains("row-level security"),
        "{refused}"
    );
    Ok(())
}
