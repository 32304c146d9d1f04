//! What is for sale.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ebbtide_example_shared::Refusal;
use serde::{Deserialize, Serialize};

use crate::{App, Error};

/// A product, in requests and answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Product {
    /// In capital letters.
    pub sku: String,
    /// The name of a category that is there.
    pub category: String,
    /// As it is shown.
    pub name: String,
    /// A decimal number: JSON's own would be rounded.
    pub price: String,
    /// How many there are.
    pub stock: i32,
}

pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Product>>, Error> {
    let mut connection = app.connection().await?;
    let products = "select sku, categories.name as category, products.name, price::text, stock
                    from products join categories on categories.id = category_id
                    where products.is_active order by sku";
    Ok(Json(
        sqlx::query_as(products).fetch_all(&mut *connection).await?,
    ))
}

pub(crate) async fn create(
    State(app): State<App>,
    body: Result<Json<Product>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(product)) => insert(&app, product)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        Err(rejection) => Refusal::from(rejection).into_response(),
    }
}

async fn insert(app: &App, product: Product) -> Result<Response, Error> {
    let mut connection = app.connection().await?;
    let insert = "insert into products (category_id, sku, name, price, stock)
                  select id, $2, $3, $4::numeric, $5 from categories where name = $1";
    let inserted = sqlx::query(insert)
        .bind(&product.category)
        .bind(&product.sku)
        .bind(&product.name)
        .bind(&product.price)
        .bind(product.stock)
        .execute(&mut *connection)
        .await;
    let refusal = match inserted {
        Ok(done) if done.rows_affected() == 1 => {
            return Ok((StatusCode::CREATED, Json(product)).into_response());
        }
        Ok(_) => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "category: there is none of this name",
        ),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Refusal::new(StatusCode::CONFLICT, "sku: it is there already")
        }
        // Class 22, data exceptions: a price that is no number, for example.
        Err(sqlx::Error::Database(error))
            if error.is_check_violation()
                || error.code().is_some_and(|code| code.starts_with("22")) =>
        {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error.message())
        }
        Err(error) => return Err(error.into()),
    };
    Ok(refusal.into_response())
}
