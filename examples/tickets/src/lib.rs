//! A ticketing service: the registration and login of users, and the checks that prevent the
//! service from running on an unmigrated database.

mod accounts;
mod passwords;
mod queue;
mod settings;
mod startup;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use ebbtide_example_shared::Health;
use sqlx::PgPool;
use sqlx::migrate::Migrator;

pub use accounts::{Account, Credentials, Registration};
pub use passwords::{PasswordCost, Passwords};
pub use queue::{act_for, open_tickets};
pub use settings::Settings;
pub use startup::{StartError, migrate, open};

/// The migrations that this program was built with.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// The state that the handlers share.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) pool: PgPool,
    pub(crate) passwords: Arc<Passwords>,
}

impl App {
    /// An application that uses this pool.
    #[must_use]
    pub fn new(pool: PgPool, passwords: Passwords) -> Self {
        Self {
            pool,
            passwords: Arc::new(passwords),
        }
    }

    /// All routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/health", get(health))
            .route("/api/v1/auth/register", post(accounts::register))
            .route("/api/v1/auth/login", post(accounts::login))
            .with_state(self)
    }
}

async fn health(State(app): State<App>) -> Health {
    Health::of(&app.pool, &MIGRATOR).await
}
