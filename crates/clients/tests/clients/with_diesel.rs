//! diesel on a `Database`, mostly in tests that are not asynchronous.

use crate::repeated::on_five_databases;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use ebbtide::Database;

type Outcome = Result<(), Box<dyn std::error::Error>>;

diesel::table! {
    products (id) {
        id -> Integer,
        sku -> Text,
        name -> Text,
        stock -> Integer,
    }
}

diesel::table! {
    orders (id) {
        id -> Integer,
        product -> Integer,
        customer -> Text,
        quantity -> Integer,
    }
}

diesel::joinable!(orders -> products (product));
diesel::allow_tables_to_appear_in_same_query!(orders, products);

#[derive(Insertable)]
#[diesel(table_name = orders)]
struct NewOrder<'a> {
    product: i32,
    customer: &'a str,
    quantity: i32,
}

/// The number of orders, and the stock of green tea.
fn state(connection: &mut PgConnection) -> QueryResult<(i64, i32)> {
    let orders = orders::table.count().get_result(connection)?;
    let stock = products::table
        .filter(products::sku.eq("TEA-1"))
        .select(products::stock)
        .first(connection)?;
    Ok((orders, stock))
}

fn order_tea(connection: &mut PgConnection, customer: &str, quantity: i32) -> QueryResult<i32> {
    connection.transaction(|connection| {
        let tea = products::table.filter(products::sku.eq("TEA-1"));
        let product = tea.select(products::id).first(connection)?;
        let order = NewOrder {
            product,
            customer,
            quantity,
        };
        let id = diesel::insert_into(orders::table)
            .values(order)
            .returning(orders::id)
            .get_result(connection)?;
        diesel::update(tea)
            .set(products::stock.eq(products::stock - quantity))
            .execute(connection)?;
        Ok(id)
    })
}

/// Places an order and asserts its effects. The database must be in its initial state.
fn place_and_verify_order(database: &Database) -> Outcome {
    let mut connection = PgConnection::establish(database.url())?;
    assert_eq!(state(&mut connection)?, (0, 100));
    assert_eq!(order_tea(&mut connection, "Laura", 3)?, 1, "the first id");
    let mut other = PgConnection::establish(database.url())?;
    assert_eq!(
        state(&mut other)?,
        (1, 97),
        "another connection sees the commit"
    );
    Ok(())
}

#[ebbtide::test]
fn an_order_is_committed_and_seen_by_other_connections(database: Database) -> Outcome {
    place_and_verify_order(&database)
}

#[ebbtide::test]
fn a_database_comes_without_an_argument_too() -> Outcome {
    let database = ebbtide::blocking::database()?;
    place_and_verify_order(&database)
}

#[ebbtide::test]
async fn an_asynchronous_test_can_use_diesel_in_spawn_blocking(database: Database) -> Outcome {
    let url = database.url().to_owned();
    let ordering = tokio::task::spawn_blocking(move || {
        let mut connection =
            PgConnection::establish(&url).expect("the database accepts connections");
        order_tea(&mut connection, "Laura", 3)
    });
    assert_eq!(ordering.await??, 1, "the first id");
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&database.pool())
        .await?;
    assert_eq!(orders, 1, "another driver sees the order");
    Ok(())
}

#[ebbtide::test]
fn an_order_that_fails_is_rolled_back(database: Database) -> Outcome {
    let mut connection = PgConnection::establish(database.url())?;
    assert_eq!(order_tea(&mut connection, "Laura", 1)?, 1, "the first id");
    let error = order_tea(&mut connection, "Marta", 1000).expect_err("the stock is too small");
    assert!(
        matches!(
            error,
            Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)
        ),
        "{error}"
    );
    let error =
        order_tea(&mut connection, "Laura", 1).expect_err("the customer has already ordered it");
    assert!(
        matches!(
            error,
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)
        ),
        "{error}"
    );
    let orders: Vec<(String, String)> = orders::table
        .inner_join(products::table)
        .select((orders::customer, products::name))
        .load(&mut connection)?;
    assert_eq!(orders, [("Laura".to_owned(), "Green tea".to_owned())]);
    assert_eq!(state(&mut connection)?, (1, 99));
    Ok(())
}

#[test]
fn the_next_test_does_not_see_the_orders() -> Outcome {
    on_five_databases(place_and_verify_order)
}
