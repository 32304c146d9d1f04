//! `/health`, `/health/db` and `/health/ready`.

use axum::http::StatusCode;
use ebbtide::{Database, Sandbox};
use ebbtide_example_shared::RetryPolicy;
use ebbtide_example_shared::testing::{get, post};
use ebbtide_example_techstore::{App, PoolSettings, open};
use serde_json::json;

use super::{HEAD, Outcome};

#[ebbtide::test]
async fn a_migrated_shop_is_healthy_and_ready(sandbox: Sandbox) {
    let app = App::new(sandbox.clone()).router();
    let healthy = json!({"status": "healthy", "database": "connected", "schema": HEAD});
    assert_eq!(get(&app, "/health").await, (StatusCode::OK, healthy));
    assert_eq!(
        get(&app, "/health/ready").await,
        (StatusCode::OK, json!({"ready": true}))
    );
}

#[ebbtide::test]
async fn database_health_contains_status_version_pool_size_and_name(database: Database) -> Outcome {
    let version: String = sqlx::query_scalar("show server_version")
        .fetch_one(&database.pool())
        .await?;
    let pool = open(
        &database.url().parse()?,
        PoolSettings::default(),
        RetryPolicy::default(),
    )
    .await?;
    let app = App::new(pool.clone()).router();
    let (status, body) = get(&app, "/health/db").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&body["status"], &body["version"]),
        (&json!("healthy"), &json!(version))
    );
    assert_eq!(
        (&body["pool_size"], &body["pool_limit"]),
        (&json!(5), &json!(15))
    );
    assert_eq!(body["name"], database.name());
    pool.close().await;
    Ok(())
}

#[ebbtide::test(migrations = false)]
async fn an_unmigrated_shop_is_neither_healthy_nor_ready(database: Database) {
    let app = App::new(database.pool()).router();
    let reason = "current none, expected 20250507073000: no migration has run on this database";
    let unhealthy = json!({"status": "unhealthy", "database": "connected", "schema": reason});
    assert_eq!(
        get(&app, "/health").await,
        (StatusCode::SERVICE_UNAVAILABLE, unhealthy)
    );
    let unready = json!({"ready": false, "reason": reason});
    assert_eq!(
        get(&app, "/health/ready").await,
        (StatusCode::SERVICE_UNAVAILABLE, unready)
    );
    // The database itself is healthy.
    assert_eq!(get(&app, "/health/db").await.0, StatusCode::OK);
}

#[ebbtide::test]
async fn products_are_added_and_listed(sandbox: Sandbox) {
    let app = App::new(sandbox.clone()).router();
    let mouse = json!({"sku": "MOUSE-1", "category": "Keyboards", "name": "Mouse", "price": "19.90", "stock": 3});
    assert_eq!(
        post(&app, "/api/v1/products", &mouse).await,
        (StatusCode::CREATED, mouse.clone())
    );
    assert_eq!(
        post(&app, "/api/v1/products", &mouse).await.0,
        StatusCode::CONFLICT
    );
    for (field, bad) in [
        ("price", "cheap"),
        ("price", "-1"),
        ("sku", "mouse"),
        ("category", "Pets"),
    ] {
        let mut product = mouse.clone();
        product[field] = bad.into();
        assert_eq!(
            post(&app, "/api/v1/products", &product).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{product}"
        );
    }
    let (_, products) = get(&app, "/api/v1/products").await;
    assert_eq!(products.as_array().unwrap().len(), 5);
    assert!(products.as_array().unwrap().contains(&mouse), "{products}");
}
