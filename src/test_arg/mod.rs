//! What a test function asks for by naming a type.

mod context;
mod current;
mod end;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::error::Result;
use crate::lane::{Database, Sandbox, Tx};

pub(crate) use context::TestSpec;
pub use context::{PoolKind, TestContext};
pub(crate) use current::{current, during, poll_during};
pub use current::{database, sandbox, tx, tx_with};
pub(crate) use end::{Verdict, end};

/// Connections of a pool that a test builds from options, as in `#[sqlx::test]`.
const CONNECTIONS: u32 = 5;

/// Something that a test may have as an argument.
///
/// Implement it for what your tests need, on top of what is here: the application's state, an HTTP client.
///
/// # Examples
/// ```no_run
/// use ebbtide::{Sandbox, TestArg, TestContext};
///
/// struct App {
///     database: Sandbox,
/// }
///
/// impl TestArg for App {
///     async fn from_test(context: &TestContext) -> ebbtide::Result<Self> {
///         Ok(App { database: Sandbox::from_test(context).await? })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a test cannot have an argument of type `{Self}`",
    label = "ebbtide does not know how to make this",
    note = "ebbtide makes `Tx`, `Sandbox`, `Database`, and sqlx's `PgPool`, `PoolConnection<Postgres>`, `PgConnectOptions` and `PgPoolOptions`",
    note = "for a type of your own, implement `ebbtide::TestArg`"
)]
pub trait TestArg: Sized {
    /// Makes the argument for a test that is about to begin.
    ///
    /// What is taken from the context is closed at the test's end, and an error in closing it fails the test.
    ///
    /// # Errors
    /// The test fails with the error's report.
    #[expect(
        async_fn_in_trait,
        reason = "a test's arguments are made where the test runs, and need not be sent"
    )]
    async fn from_test(context: &TestContext) -> Result<Self>;
}

/// Rolled back. The attribute's `isolation_level` and `savepoints` are about these.
impl TestArg for Tx {
    async fn from_test(context: &TestContext) -> Result<Self> {
        context.tx().await
    }
}

/// Rolled back.
impl TestArg for Sandbox {
    async fn from_test(context: &TestContext) -> Result<Self> {
        context.sandbox().await
    }
}

/// Each argument is a database of its own.
impl TestArg for Database {
    async fn from_test(context: &TestContext) -> Result<Self> {
        context.database().await
    }
}

/// A pool on the test's own database; with `pool = "sandbox"` that of a [`Sandbox`]. All of sqlx's types in one
/// test speak of the same database.
impl TestArg for PgPool {
    async fn from_test(context: &TestContext) -> Result<Self> {
        context.pool().await
    }
}

/// A connection of the test's [`PgPool`].
impl TestArg for PoolConnection<Postgres> {
    async fn from_test(context: &TestContext) -> Result<Self> {
        Ok(context.pool().await?.acquire().await?)
    }
}

/// The way to the test's own database; not with `pool = "sandbox"`.
impl TestArg for PgConnectOptions {
    async fn from_test(context: &TestContext) -> Result<Self> {
        context.connect_options("PgConnectOptions").await
    }
}

/// Options for a pool of at most five connections; not with `pool = "sandbox"`.
impl TestArg for PgPoolOptions {
    async fn from_test(context: &TestContext) -> Result<Self> {
        // The database is needed in any case.
        context.connect_options("PgPoolOptions").await?;
        Ok(PgPoolOptions::new().max_connections(CONNECTIONS))
    }
}
