//! Two databases in one test, each with migrations of its own.

use ebbtide::Tx;
use sqlx::postgres::PgConnection;

/// Takes bells from the stock, and records the sale in another database.
async fn sell(shop: &mut PgConnection, audit: &mut PgConnection, bells: i32) -> sqlx::Result<()> {
    sqlx::query("update parts set stock = stock - $1 where sku = 'BELL-1'")
        .bind(bells)
        .execute(shop)
        .await?;
    sqlx::query("insert into events (what) values (format('%s bells sold', $1::int))")
        .bind(bells)
        .execute(audit)
        .await?;
    Ok(())
}

async fn events(audit: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select what from events order by id")
        .fetch_all(audit)
        .await
}

#[ebbtide::test(savepoints)]
async fn a_sale_is_recorded_unless_it_fails(
    mut shop: Tx,
    #[plan("audit")] mut audit: Tx,
) -> sqlx::Result<()> {
    sqlx::query("insert into parts (sku, name, stock) values ('BELL-1', 'Bell', 5)")
        .execute(&mut *shop)
        .await?;
    sell(&mut shop, &mut audit, 3).await?;
    assert!(
        sell(&mut shop, &mut audit, 3).await.is_err(),
        "two bells are in stock"
    );
    assert_eq!(events(&mut audit).await?, ["3 bells sold"]);
    Ok(())
}
