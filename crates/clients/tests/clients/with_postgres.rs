//! The `postgres` crate on a `Database`, from an argument or from `ebbtide::blocking::database()`.

use std::time::Duration;

use crate::repeated::on_five_databases;
use ebbtide::Database;
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::{Client, Error, NoTls};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn connect(database: &Database) -> Result<Client, Error> {
    Client::connect(database.url(), NoTls)
}

/// The number of orders, and the stock of green tea.
fn state(client: &mut Client) -> Result<(i64, i32), Error> {
    let sql = "select (select count(*) from orders), stock from products where sku = 'TEA-1'";
    let row = client.query_one(sql, &[])?;
    Ok((row.get(0), row.get(1)))
}

fn order_tea(client: &mut Client, customer: &str, quantity: i32) -> Result<i32, Error> {
    let mut transaction = client.transaction()?;
    let insert = "insert into orders (product, customer, quantity)
                  select id, $1, $2 from products where sku = 'TEA-1' returning id";
    let id = transaction
        .query_one(insert, &[&customer, &quantity])?
        .get(0);
    transaction.execute(
        "update products set stock = stock - $1 where sku = 'TEA-1'",
        &[&quantity],
    )?;
    transaction.commit()?;
    Ok(id)
}

/// Places an order and asserts its effects. The database must be in its initial state.
fn place_and_verify_order(database: &Database) -> Result<(), Error> {
    let mut client = connect(database)?;
    assert_eq!(state(&mut client)?, (0, 100));
    assert_eq!(order_tea(&mut client, "Laura", 3)?, 1, "the first id");
    assert_eq!(
        state(&mut connect(database)?)?,
        (1, 97),
        "another connection sees the commit"
    );
    Ok(())
}

#[ebbtide::test]
fn an_order_is_committed_and_seen_by_other_connections() -> Outcome {
    let database = ebbtide::blocking::database()?;
    Ok(place_and_verify_order(&database)?)
}

#[ebbtide::test]
fn an_order_that_fails_is_rolled_back(database: Database) -> Outcome {
    let mut client = connect(&database)?;
    assert_eq!(order_tea(&mut client, "Laura", 1)?, 1, "the first id");
    let error = order_tea(&mut client, "Marta", 1000).expect_err("the stock is too small");
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{error}");
    assert_eq!(state(&mut client)?, (1, 99));
    Ok(())
}

#[ebbtide::test]
fn a_notification_reaches_another_connection(database: Database) -> Outcome {
    let (mut listener, mut notifier) = (connect(&database)?, connect(&database)?);
    listener.batch_execute("listen orders")?;
    notifier.execute("select pg_notify('orders', 'tea')", &[])?;
    let mut notifications = listener.notifications();
    let notification = notifications
        .timeout_iter(Duration::from_secs(30))
        .next()?
        .expect("the notification arrives in time");
    assert_eq!(
        (notification.channel(), notification.payload()),
        ("orders", "tea")
    );
    Ok(())
}

#[test]
fn the_next_test_does_not_see_the_orders() -> Outcome {
    on_five_databases(place_and_verify_order)
}
