//! sea-orm on a `Sandbox`, with its pool, and on a `Database`, with its URL.

use std::collections::BTreeSet;

use ebbtide::{Database, Sandbox};
use sea_orm::prelude::*;
use sea_orm::{
    ActiveValue, DatabaseTransaction, IsolationLevel, SqlxPostgresConnector, TransactionTrait as _,
};
use sqlx::PgPool;

use crate::repeated::on_five_databases_async;

type Outcome = Result<(), Box<dyn std::error::Error>>;

mod product {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "products")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[sea_orm(unique)]
        pub sku: String,
        pub name: String,
        pub stock: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod order {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "orders")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub product: i32,
        pub customer: String,
        pub quantity: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn tea(connection: &impl ConnectionTrait) -> Result<product::Model, DbErr> {
    let found = product::Entity::find()
        .filter(product::Column::Sku.eq("TEA-1"))
        .one(connection)
        .await?;
    found.ok_or_else(|| DbErr::RecordNotFound("TEA-1".to_owned()))
}

/// The number of orders, and the stock of green tea.
async fn state(connection: &impl ConnectionTrait) -> Result<(u64, i32), DbErr> {
    Ok((
        order::Entity::find().count(connection).await?,
        tea(connection).await?.stock,
    ))
}

async fn order_tea(
    connection: &DatabaseConnection,
    customer: &str,
    quantity: i32,
) -> Result<i32, DbErr> {
    let transaction = connection.begin().await?;
    let id = order_within(&transaction, customer, quantity).await?;
    transaction.commit().await?;
    Ok(id)
}

async fn order_within(
    transaction: &DatabaseTransaction,
    customer: &str,
    quantity: i32,
) -> Result<i32, DbErr> {
    let product = tea(transaction).await?;
    let order = order::ActiveModel {
        product: ActiveValue::Set(product.id),
        customer: ActiveValue::Set(customer.to_owned()),
        quantity: ActiveValue::Set(quantity),
        ..Default::default()
    };
    let id = order.insert(transaction).await?.id;
    let stock = ActiveValue::Set(product.stock - quantity);
    product::ActiveModel {
        stock,
        ..product.into()
    }
    .update(transaction)
    .await?;
    Ok(id)
}

/// Places an order and asserts its effects. The database must be in its initial state.
async fn place_and_verify_orders(connection: &DatabaseConnection) -> Result<(), DbErr> {
    assert_eq!(state(connection).await?, (0, 100));
    assert_eq!(order_tea(connection, "Laura", 3).await?, 1, "the first id");
    let error = order_tea(connection, "Marta", 1000)
        .await
        .expect_err("the stock is too small");
    assert!(
        error.to_string().contains("products_stock_check"),
        "{error}"
    );
    let error = order_tea(connection, "Laura", 1)
        .await
        .expect_err("the customer has already ordered it");
    assert!(
        matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))),
        "{error}"
    );
    assert_eq!(
        state(connection).await?,
        (1, 97),
        "the first order is committed, the others are rolled back"
    );
    Ok(())
}

fn on(pool: &PgPool) -> DatabaseConnection {
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone())
}

#[ebbtide::test]
async fn orders_are_committed_and_rolled_back_in_a_sandbox(sandbox: Sandbox) -> Outcome {
    place_and_verify_orders(&on(&sandbox)).await?;
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&*sandbox)
        .await?;
    assert_eq!(orders, 1, "sqlx sees the order");
    Ok(())
}

#[ebbtide::test]
async fn a_nested_transaction_is_rolled_back_alone(sandbox: Sandbox) -> Outcome {
    let connection = on(&sandbox);
    let outer = connection.begin().await?;
    order_within(&outer, "Laura", 3).await?;
    let inner = outer.begin().await?;
    order_within(&inner, "Marta", 5).await?;
    assert_eq!(state(&inner).await?, (2, 92));
    inner.rollback().await?;
    outer.commit().await?;
    assert_eq!(state(&connection).await?, (1, 97));
    Ok(())
}

#[ebbtide::test]
async fn an_isolation_level_needs_a_database(sandbox: Sandbox, database: Database) -> Outcome {
    let connection = on(&sandbox);
    let error = connection
        .begin_with_config(Some(IsolationLevel::Serializable), None)
        .await;
    let error = error.expect_err("the isolation level cannot change in the sandbox's transaction");
    assert!(
        error
            .to_string()
            .contains("SET TRANSACTION ISOLATION LEVEL"),
        "{error}"
    );
    assert_eq!(
        order_tea(&connection, "Laura", 3).await?,
        1,
        "the sandbox is still usable"
    );

    let connection = on(&database.pool());
    let transaction = connection
        .begin_with_config(Some(IsolationLevel::Serializable), None)
        .await?;
    order_within(&transaction, "Laura", 3).await?;
    transaction.commit().await?;
    assert_eq!(state(&connection).await?, (1, 97));
    Ok(())
}

#[ebbtide::test]
async fn sea_orm_connects_to_a_database_by_its_url(database: Database) -> Outcome {
    let connection = sea_orm::Database::connect(database.url()).await?;
    place_and_verify_orders(&connection).await?;
    assert_eq!(
        state(&on(&database.pool())).await?,
        (1, 97),
        "other connections see the commit"
    );
    connection.close().await?;
    Ok(())
}

#[ebbtide::test]
async fn the_next_sandbox_does_not_have_the_orders() -> Outcome {
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let sandbox = ebbtide::sandbox().await?;
        place_and_verify_orders(&on(&sandbox)).await?;
        names.insert(
            sqlx::query_scalar::<_, String>("select current_database()")
                .fetch_one(&*sandbox)
                .await?,
        );
        sandbox.close().await?;
    }
    assert!(names.len() < 5, "no lane was used twice: {names:?}");
    Ok(())
}

#[ebbtide::test]
async fn the_next_database_does_not_have_the_orders() -> Outcome {
    on_five_databases_async(async |database| {
        let connection = sea_orm::Database::connect(database.url()).await?;
        place_and_verify_orders(&connection).await?;
        connection.close().await
    })
    .await
}
