//! The foundation of a shop: settings from the environment, a pool, migrations up and down, health
//! checks, and the command `init`.

mod database;
mod error;
mod health;
mod init;
mod products;
mod schema;
mod settings;

use axum::Router;
use axum::routing::get;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

pub use database::{DatabaseUrl, PoolSettings, open};
pub use error::{Conflict, Error};
pub use health::{DatabaseHealth, Readiness};
pub use init::{Prepared, init};
pub use products::Product;
pub use schema::{MIGRATOR, down, up};
pub use settings::Settings;

/// The state that the handlers share.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) pool: PgPool,
}

impl App {
    /// An application that uses this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// All routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/health", get(health::health))
            .route("/health/db", get(health::database))
            .route("/health/ready", get(health::ready))
            .route(
                "/api/v1/products",
                get(products::list).post(products::create),
            )
            .with_state(self)
    }

    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool
            .acquire()
            .await
            .map_err(|error| Error::no_connection(&self.pool, error))
    }
}
