//! Other clients of PostgreSQL on ebbtide's databases.
#![expect(unreachable_pub, reason = "the clients' macros write public items")]

mod repeated;
mod shared_lanes;
#[path = "../../../../tests/support/skip.rs"]
mod skip;
mod with_axum;
mod with_diesel;
mod with_diesel_migrations;
mod with_postgres;
mod with_psql;
mod with_refinery;
mod with_sea_orm;
mod with_tokio_postgres;
