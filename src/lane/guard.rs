//! The messages that open and close a guarded transaction, one round trip each.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::names::Literal;
use crate::sql_error::{self, code};

/// What the session of a connection has seen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Session<'a> {
    /// Nothing yet: the server that answers must be the one that was leased, where it has an identity, and sqlx is told
    /// of the transaction, so that it counts the user's `begin` as a savepoint from then on.
    New { server: Option<&'a str> },
    /// A transaction of ours.
    Used,
}

/// What a test left of its transaction.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Rolled back, nothing to say.
    Clean,
    /// Rolled back, and a deferred constraint did not hold.
    ConstraintViolated(sqlx::Error),
    /// The test had ended the transaction itself, so the lane may hold anything.
    Escaped,
    /// The connection or the server failed.
    Lost(sqlx::Error),
}

/// Writes into the lane who holds it, if nobody has used it since it was copied or closed properly.
pub(super) async fn take(connection: &mut PgConnection, holder: &str) -> Result<bool, sqlx::Error> {
    let message = format!(
        "begin read write; set local synchronous_commit = off; \
         update _ebbtide.lane set clean = false, holder = {} where clean; commit",
        Literal(holder)
    );
    Ok(sqlx::raw_sql(AssertSqlSafe(message)).execute(connection).await?.rows_affected() == 1)
}

/// Opens the transaction, putting back what the rollback of the test before did not undo.
///
/// `test` is given when the session does not bear its name, `holder` when the lane says itself that it is in use.
pub(super) async fn open(
    connection: &mut PgConnection,
    session: Session<'_>,
    test: Option<&str>,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    let attach = match session {
        Session::New { server: Some(identity) } => format!("call _ebbtide.attach({}); ", Literal(identity)),
        Session::New { server: None } | Session::Used => String::new(),
    };
    let name = test.map(|test| format!("set local application_name = {}; ", Literal(test))).unwrap_or_default();
    // A commit fires a trigger; every other way out of the transaction loses a local setting and the savepoint.
    let enter = holder.map(|holder| in_its_own("enter", holder)).unwrap_or_default();
    let message = format!("{enter}begin read write; {attach}{name}call _ebbtide.open(); savepoint _ebbtide");
    if matches!(session, Session::New { .. }) {
        // Dropping it would roll back, and the next `begin` would be a real one again.
        std::mem::forget(connection.begin_with(AssertSqlSafe(message)).await?);
    } else {
        sqlx::raw_sql(AssertSqlSafe(message)).execute(connection).await?;
    }
    Ok(())
}

/// Checks deferred constraints and rolls back. `holder` is given when the lane then says itself that it is clean.
pub(super) async fn close(connection: &mut PgConnection, holder: Option<&str>) -> Outcome {
    let leave = holder.map(|holder| in_its_own("leave", holder)).unwrap_or_default();
    let outcome = match send(connection, format!("call _ebbtide.check(); rollback; {leave}")).await {
        Ok(()) => Outcome::Clean,
        Err(error) => match code(&error) {
            // in_failed_sql_transaction: the test saw a statement fail and stopped there.
            Some("25P02") => close_failed(connection, &leave, Outcome::Clean).await,
            // no_active_sql_transaction, invalid_savepoint_specification.
            Some("25P01" | "3B001") => Outcome::Escaped,
            Some(_) if !sql_error::is_server_gone(&error) => {
                close_failed(connection, &leave, Outcome::ConstraintViolated(error)).await
            }
            Some(_) | None => Outcome::Lost(error),
        },
    };
    match (outcome, forget_statements(connection).await) {
        (Outcome::Clean, Err(error)) => Outcome::Lost(error),
        (outcome, _) => outcome,
    }
}

async fn close_failed(connection: &mut PgConnection, leave: &str, meaning: Outcome) -> Outcome {
    match send(connection, format!("rollback to savepoint _ebbtide; rollback; {leave}")).await {
        Ok(()) => meaning,
        Err(error) if matches!(code(&error), Some("25P01" | "3B001")) => Outcome::Escaped,
        Err(error) => Outcome::Lost(error),
    }
}

/// A transaction that tells the lane something which the test's own may not undo.
fn in_its_own(procedure: &str, holder: &str) -> String {
    format!("begin read write; call _ebbtide.{procedure}({}); commit; ", Literal(holder))
}

async fn send(connection: &mut PgConnection, ending: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(ending)).execute(connection).await.map(drop)
}

/// The next opening makes the server forget the prepared statements; so must the driver.
async fn forget_statements(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if connection.cached_statements_size() > 0 { connection.clear_cached_statements().await } else { Ok(()) }
}

/// Whether sqlx still counts our transaction, so that the next `begin` of a user is a savepoint.
pub(super) fn is_reusable(connection: &PgConnection) -> bool {
    connection.is_in_transaction()
}
