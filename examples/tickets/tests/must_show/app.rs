//! The application for the tests.

use axum::Router;
use ebbtide_example_tickets::{App, PasswordCost, Passwords};
use serde_json::{Value, json};
use sqlx::PgPool;

pub(crate) const REGISTER: &str = "/api/v1/auth/register";
pub(crate) const LOGIN: &str = "/api/v1/auth/login";

/// The application's router, with the cheapest hashes that Argon2 permits.
pub(crate) fn app(pool: PgPool) -> Router {
    let cheap = PasswordCost {
        memory_kib: 8,
        passes: 1,
    };
    App::new(pool, Passwords::new(cheap).unwrap()).router()
}

pub(crate) fn laura() -> Value {
    json!({"email": "laura@example.com", "password": "correct horse battery", "organization": "Harbour Office"})
}
