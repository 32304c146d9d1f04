//! The products of the shop.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ebbtide_example_shared::ErrorResponse;
use serde::{Deserialize, Serialize};

use crate::{App, Error};

/// A product, in requests and responses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Product {
    /// The stock keeping unit, in capital letters.
    pub sku: String,
    /// The name of an existing category.
    pub category: String,
    /// The displayed name.
    pub name: String,
    /// A decimal number as text, because a JSON number may be rounded.
    pub price: String,
    /// The quantity in stock.
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
        Err(rejection) => ErrorResponse::from(rejection).into_response(),
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
    let response = match inserted {
        Ok(done) if done.rows_affected() == 1 => {
            return Ok((StatusCode::CREATED, Json(product)).into_response());
        }
        Ok(_) => ErrorResponse::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "category: must be the name of an existing category",
        ),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => ErrorResponse::new(
            StatusCode::CONFLICT,
            "sku: must be unique, but already exists",
        ),
        // Class 22, data exceptions: for example, a price that is not a number.
        Err(sqlx::Error::Database(error))
            if error.is_check_violation()
                || error.code().is_some_and(|code| code.starts_with("22")) =>
        {
            ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, error.message())
        }
        Err(error) => return Err(error.into()),
    };
    Ok(response.into_response())
}
