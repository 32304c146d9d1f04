//! The `postgres` crate over `ebbtide::blocking::database()`.

mod turns;

use std::time::Duration;

use ebbtide::Database;
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::{Client, Error, NoTls};
use turns::in_turns;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn connect(database: &Database) -> Result<Client, Error> {
    Client::connect(database.url(), NoTls)
}

/// How many orders there are, and how much green tea.
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

/// A test on a database that must be as no other test has touched it.
fn a_whole_test(database: &Database) -> Result<(), Error> {
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
    Ok(a_whole_test(&database)?)
}

#[ebbtide::test]
fn an_order_that_fails_is_rolled_back(database: Database) -> Outcome {
    let mut client = connect(&database)?;
    assert_eq!(order_tea(&mut client, "Laura", 1)?, 1, "the first id");
    let error = order_tea(&mut client, "Marta", 1000).expect_err("there is not so much");
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{error}");
    assert_eq!(state(&mut client)?, (1, 99));
    Ok(())
}

#[ebbtide::test]
fn a_notification_reaches_another_connection(database: Database) -> Outcome {
    let (mut listener, mut speaker) = (connect(&database)?, connect(&database)?);
    listener.batch_execute("listen orders")?;
    speaker.execute("select pg_notify('orders', 'tea')", &[])?;
    let mut notifications = listener.notifications();
    let heard = notifications
        .timeout_iter(Duration::from_secs(30))
        .next()?
        .expect("it arrives");
    assert_eq!((heard.channel(), heard.payload()), ("orders", "tea"));
    Ok(())
}

#[test]
fn the_next_test_sees_nothing_of_it() -> Outcome {
    in_turns(a_whole_test)
}
