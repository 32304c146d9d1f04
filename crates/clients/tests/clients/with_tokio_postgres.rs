//! tokio-postgres on a `Database`, with its URL.

use ebbtide::Database;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, NoTls};

use crate::repeated::on_five_databases_async;

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn connect(database: &Database) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The number of orders, and the stock of green tea.
async fn state(client: &Client) -> Result<(i64, i32), Error> {
    let sql = "select (select count(*) from orders), stock from products where sku = 'TEA-1'";
    let row = client.query_one(sql, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

async fn order_tea(client: &mut Client, customer: &str, quantity: i32) -> Result<i32, Error> {
    let transaction = client.transaction().await?;
    let insert = "insert into orders (product, customer, quantity)
                  select id, $1, $2 from products where sku = 'TEA-1' returning id";
    let id = transaction
        .query_one(insert, &[&customer, &quantity])
        .await?
        .get(0);
    transaction
        .execute(
            "update products set stock = stock - $1 where sku = 'TEA-1'",
            &[&quantity],
        )
        .await?;
    transaction.commit().await?;
    Ok(id)
}

/// Places an order and asserts its effects. The database must be in its initial state.
async fn place_and_verify_order(database: &Database) -> Result<(), Error> {
    let mut client = connect(database).await?;
    assert_eq!(state(&client).await?, (0, 100));
    assert_eq!(order_tea(&mut client, "Laura", 3).await?, 1, "the first id");
    assert_eq!(
        state(&connect(database).await?).await?,
        (1, 97),
        "another connection sees the commit"
    );
    Ok(())
}

#[ebbtide::test]
async fn an_order_is_committed_and_seen_by_other_connections(database: Database) -> Outcome {
    Ok(place_and_verify_order(&database).await?)
}

#[ebbtide::test]
async fn an_order_that_fails_is_rolled_back(database: Database) -> Outcome {
    let mut client = connect(&database).await?;
    assert_eq!(order_tea(&mut client, "Laura", 1).await?, 1, "the first id");
    let error = order_tea(&mut client, "Marta", 1000)
        .await
        .expect_err("the stock is too small");
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{error}");
    assert_eq!(state(&client).await?, (1, 99));
    Ok(())
}

#[ebbtide::test]
async fn a_connection_skips_rows_that_another_has_locked(database: Database) -> Outcome {
    let (mut one, mut two) = (connect(&database).await?, connect(&database).await?);
    let (first, second) = (one.transaction().await?, two.transaction().await?);
    let locking = "select sku from products order by id limit 1 for update skip locked";
    let first_sku: String = first.query_one(locking, &[]).await?.get(0);
    let second_sku: String = second.query_one(locking, &[]).await?.get(0);
    assert_eq!((&*first_sku, &*second_sku), ("TEA-1", "TEA-2"));
    Ok(())
}

#[ebbtide::test]
async fn the_next_test_does_not_see_the_orders() -> Outcome {
    on_five_databases_async(async |database| place_and_verify_order(database).await).await
}
