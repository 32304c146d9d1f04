//! The arguments of a test function, and the end of a test.
//!
//! | file | noun |
//! |---|---|
//! | `context` | one test: its options, and the source of its arguments |
//! | `lanes` | the ways to use a lane, as arguments, methods of the context and functions |
//! | `lane_need`, `reserve` | the connections that all arguments of a test need, and the wait for them |
//! | `current` | the test that runs on this thread |
//! | `end` | the end of a test: its checkouts are closed or kept, and its report is written |
//!
//! ```text
//! TestContext::new --> arguments, body --> every Checkout that is dropped --> channel --> end()
//!                                          every Checkout that is closed  --> lane, at once
//! ```
//!
//! A test with the attribute gives its context a channel. A `Tx`, `Sandbox` or `Database` that is
//! dropped sends its [`Checkout`](crate::lane::Checkout) there. `end` receives until the last
//! sender is gone, which proves that the test holds nothing any more. It fails the test for a
//! checkout that cannot be closed well. Without the attribute there is no channel, and a dropped
//! checkout closes in the background.

mod context;
mod current;
mod end;
mod lane_need;
mod lanes;
mod reserve;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::error::Result;

pub(crate) use context::TestSpec;
pub use context::{PoolKind, TestContext};
pub(crate) use current::{current, during, poll_during};
pub(crate) use end::{Verdict, end};
pub use lane_need::LaneNeed;
pub use lanes::{database, sandbox, tx};
pub use reserve::{ReservedLanes, reserve};

/// Connections of a pool that a test builds from `PgPoolOptions`, as in `#[sqlx::test]`.
const MAX_POOL_CONNECTIONS: u32 = 5;

/// A type that a test with [`ebbtide::test`](macro@crate::test) may have as an argument.
///
/// Implement it for whatever your tests need on top of a database: the application's state, an HTTP
/// client.
///
/// An argument with `#[plan("audit")]` is made from a context of that plan: what the type takes from
/// the context is a database of the plan, and so is what [`tx()`](crate::tx()), `sandbox()` and
/// `database()` return meanwhile. A type that needs several plans calls
/// [`TestContext::on_plan`].
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
    label = "ebbtide cannot make this argument",
    note = "ebbtide makes `Tx`, `Sandbox`, `Database`, and sqlx's `PgPool`, `PoolConnection<Postgres>`, `PgConnectOptions` and `PgPoolOptions`",
    note = "for a type of your own, implement `ebbtide::TestArg`"
)]
pub trait TestArg: Sized {
    /// What the argument needs, so that a test can wait for all of its arguments at once.
    #[doc(hidden)]
    const NEED: LaneNeed = LaneNeed::Unknown;

    /// Makes the argument for a test that is about to begin.
    ///
    /// Whatever comes from the context is closed at the test's end. An error in closing it fails
    /// the test.
    ///
    /// # Errors
    /// The test fails with the error's report, and its body does not run.
    #[expect(
        async_fn_in_trait,
        reason = "arguments are made on the test's thread, so the future need not be `Send`"
    )]
    async fn from_test(context: &TestContext) -> Result<Self>;
}

/// A pool on the test's own [`Database`](crate::Database), or with `pool = "sandbox"` on its
/// [`Sandbox`](crate::Sandbox). All arguments of sqlx's types in one test lead to the same
/// database.
impl TestArg for PgPool {
    const NEED: LaneNeed = LaneNeed::Pool;

    async fn from_test(context: &TestContext) -> Result<Self> {
        context.pool().await
    }
}

/// A connection of the test's [`PgPool`].
impl TestArg for PoolConnection<Postgres> {
    const NEED: LaneNeed = LaneNeed::Pool;

    async fn from_test(context: &TestContext) -> Result<Self> {
        Ok(context.pool().await?.acquire().await?)
    }
}

/// Options for connections to the test's own database. With `pool = "sandbox"` they are refused.
impl TestArg for PgConnectOptions {
    const NEED: LaneNeed = LaneNeed::Pool;

    async fn from_test(context: &TestContext) -> Result<Self> {
        context.connect_options("PgConnectOptions").await
    }
}

/// Options for a pool of at most five connections. With `pool = "sandbox"` they are refused.
impl TestArg for PgPoolOptions {
    const NEED: LaneNeed = LaneNeed::Pool;

    async fn from_test(context: &TestContext) -> Result<Self> {
        // They hold no address. This creates the database that the test's `PgConnectOptions` lead
        // to.
        context.connect_options("PgPoolOptions").await?;
        Ok(PgPoolOptions::new().max_connections(MAX_POOL_CONNECTIONS))
    }
}
