//! diesel over a `Database`, in tests that are not asynchronous.
#![expect(missing_docs, reason = "diesel's macro writes public items")]

mod turns;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use ebbtide::Database;
use turns::in_turns;

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

/// How many orders there are, and how much green tea.
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

/// A test on a database that must be as no other test has touched it.
fn a_whole_test(database: &Database) -> Outcome {
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
    a_whole_test(&database)
}

#[ebbtide::test]
fn a_database_comes_without_an_argument_too() -> Outcome {
    let database = ebbtide::blocking::database()?;
    a_whole_test(&database)
}

#[ebbtide::test]
async fn in_an_asynchronous_test_it_has_a_thread_of_its_own(database: Database) -> Outcome {
    let url = database.url().to_owned();
    let ordering = tokio::task::spawn_blocking(move || {
        let mut connection = PgConnection::establish(&url).expect("the database is there");
        order_tea(&mut connection, "Laura", 3)
    });
    assert_eq!(ordering.await??, 1, "the first id");
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&database.pool())
        .await?;
    assert_eq!(orders, 1, "another driver sees it");
    Ok(())
}

#[ebbtide::test]
fn an_order_that_fails_is_rolled_back(database: Database) -> Outcome {
    let mut connection = PgConnection::establish(database.url())?;
    assert_eq!(order_tea(&mut connection, "Laura", 1)?, 1, "the first id");
    let error = order_tea(&mut connection, "Marta", 1000).expect_err("there is not so much");
    assert!(
        matches!(
            error,
            Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)
        ),
        "{error}"
    );
    let error = order_tea(&mut connection, "Laura", 1).expect_err("she has ordered");
    assert!(
        matches!(
            error,
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)
        ),
        "{error}"
    );
    let bought: Vec<(String, String)> = orders::table
        .inner_join(products::table)
        .select((orders::customer, products::name))
        .load(&mut connection)?;
    assert_eq!(bought, [("Laura".to_owned(), "Green tea".to_owned())]);
    assert_eq!(state(&mut connection)?, (1, 99));
    Ok(())
}

#[test]
fn the_next_test_sees_nothing_of_it() -> Outcome {
    in_turns(a_whole_test)
}
