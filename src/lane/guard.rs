//! The messages that open and close a guarded transaction, one round trip each.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::leased::USES;
use super::tx_options::IsolationLevel;
use crate::names::Literal;
use crate::sql_error::{self, code};

/// What the session of a connection has seen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Session<'a> {
    /// Nothing yet: the server that answers must be the one that was leased, where it has an identity, and sqlx is told
    /// of the transaction, so that it counts the user's `begin` as a savepoint from then on. `settings` are `SET`
    /// statements, which outlive the transaction.
    New { server: Option<&'a str>, settings: &'a str },
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

/// Writes into the lane who holds it, if nobody has used it since it was copied or closed properly, and it is not worn.
pub(super) async fn take(connection: &mut PgConnection, holder: &str) -> Result<bool, sqlx::Error> {
    let message = format!(
        "begin read write; set local synchronous_commit = off; \
         update _ebbtide.lane set clean = false, holder = {} where clean and uses < {USES}; commit",
        Literal(holder)
    );
    Ok(sqlx::raw_sql(AssertSqlSafe(message)).execute(connection).await?.rows_affected() == 1)
}

/// Opens the transaction.
///
/// `test` is given when the session does not bear its name, `holder` when the lane says itself that it is in use.
pub(super) async fn open(
    connection: &mut PgConnection,
    session: Session<'_>,
    level: Option<IsolationLevel>,
    test: Option<&str>,
    holder: Option<&str>,
) -> Result<(), sqlx::Error> {
    let (settings, server) = match session {
        Session::New { server, settings } => (settings, server),
        Session::Used => ("", None),
    };
    // `begin` would take what stands before it in the message along into the transaction.
    let settings = if settings.is_empty() { String::new() } else { format!("begin; {settings}commit; ") };
    let row = server.map_or("default values".to_owned(), |identity| format!("(server) values ({})", Literal(identity)));
    let name = test.map(|test| format!("set local application_name = {}; ", Literal(test))).unwrap_or_default();
    // A commit fires a trigger; every other way out of the transaction loses a local setting and the savepoint.
    let enter = holder.map(|holder| in_its_own("enter", holder)).unwrap_or_default();
    let level = level.map(|level| format!("isolation level {} ", level.as_sql())).unwrap_or_default();
    let message = format!("{settings}{enter}begin {level}read write; {name}{OPEN} {row}; savepoint _ebbtide");
    if matches!(session, Session::New { .. }) {
        // Dropping it would roll back, and the next `begin` would be a real one again.
        std::mem::forget(connection.begin_with(AssertSqlSafe(message)).await?);
    } else {
        sqlx::raw_sql(AssertSqlSafe(message)).execute(connection).await?;
    }
    Ok(())
}

/// Plain statements: the first procedure of a session loads its language.
const OPEN: &str = "set local ebbtide.test = 'open'; insert into _ebbtide.open_test";

/// Undoes what rollback does not undo, and so needs no commit either.
const REWIND: &str = "begin read write; call _ebbtide.rewind(); rollback; ";

/// Writes into the lane who uses it.
pub(super) async fn enter(connection: &mut PgConnection, holder: &str) -> Result<(), sqlx::Error> {
    send(connection, in_its_own("enter", holder)).await
}

/// Checks deferred constraints, rolls back, and undoes what rollback does not undo. `holder` is given when the lane then says itself that it is clean.
/// `has_cancelled` says whether a statement that the test had given up was cancelled: the driver tells us of it.
pub(super) async fn close(
    connection: &mut PgConnection,
    holder: Option<&str>,
    has_cancelled: impl Fn() -> bool,
) -> Outcome {
    let leave = holder.map(|holder| in_its_own("leave", holder)).unwrap_or_default();
    let outcome = match send(connection, format!("call _ebbtide.check(); rollback; {REWIND}{leave}")).await {
        Ok(()) => Outcome::Clean,
        Err(error) => match code(&error) {
            // in_failed_sql_transaction: the test saw a statement fail and stopped there.
            Some("25P02") => close_failed(connection, &leave, Outcome::Clean).await,
            Some("57014") if has_cancelled() => close_failed(connection, &leave, Outcome::Clean).await,
            Some(_) if is_outside(&error) => Outcome::Escaped,
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

/// The driver's own name for the savepoint of its second level. After a `begin_with` that it refuses, it rolls back to
/// this one instead of ending the transaction.
macro_rules! statement {
    () => {
        "_sqlx_savepoint_1"
    };
}

/// Begins the savepoint that a statement outside the application's transactions runs in. The driver counts it too.
pub(super) async fn begin_statements(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    std::mem::forget(connection.begin().await?);
    Ok(())
}

const STAY: &str = concat!("release savepoint ", statement!(), "; savepoint ", statement!());

/// Whether a statement of the server's log is one of ebbtide's own: what it means that it failed is told elsewhere.
pub(super) fn is_own(statement: &str) -> bool {
    statement.contains("_ebbtide") || statement.contains(STAY)
}

/// Makes the statements since the last time stay, or undoes them if one of them failed: as without a transaction.
pub(super) async fn renew(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match sqlx::raw_sql(STAY).execute(&mut *connection).await {
        Err(error) if code(&error) == Some("25P02") => {
            let undo = concat!("rollback to savepoint ", statement!());
            sqlx::raw_sql(undo).execute(connection).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// Whether an error says that the transaction is not ours any more.
pub(super) fn is_outside(error: &sqlx::Error) -> bool {
    // no_active_sql_transaction, invalid_savepoint_specification.
    matches!(code(error), Some("25P01" | "3B001"))
}

/// Undoes what a test has committed, or fails with EB001 where only a new copy will do.
pub(super) async fn reset(connection: &mut PgConnection, holder: Option<&str>) -> Result<(), sqlx::Error> {
    let leave = holder.map(|holder| format!("call _ebbtide.leave({}); ", Literal(holder))).unwrap_or_default();
    let message = format!(
        "begin read write; set local synchronous_commit = off; call _ebbtide.reset(); {leave}commit; \
         select current_setting('ebbtide.emptied')"
    );
    match sqlx::raw_sql(AssertSqlSafe(message)).fetch_all(&mut *connection).await {
        Ok(rows) => {
            let emptied: &str = rows.last().map_or(Ok("0"), |row| row.try_get_unchecked(0))?;
            if emptied == "0" { Ok(()) } else { forget_counts(connection).await }
        }
        Err(error) => {
            // The first error is the one to tell.
            let _ = send(connection, "rollback".to_owned()).await;
            Err(error)
        }
    }
}

/// The next reset counts from here. Ours are counted too, and told to the server when the session is idle.
async fn forget_counts(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    send(connection, "select pg_stat_force_next_flush()".to_owned()).await?;
    send(connection, "select pg_stat_reset()".to_owned()).await
}

async fn close_failed(connection: &mut PgConnection, leave: &str, meaning: Outcome) -> Outcome {
    // The savepoint alone proves nothing: a test may have set one of this name in a transaction of its own.
    let ending = format!("rollback to savepoint _ebbtide; call _ebbtide.check_open(); rollback; {REWIND}{leave}");
    match send(connection, ending).await {
        Ok(()) => meaning,
        Err(error) if is_outside(&error) => Outcome::Escaped,
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

/// The server has forgotten the prepared statements; so must the driver.
async fn forget_statements(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if connection.cached_statements_size() > 0 { connection.clear_cached_statements().await } else { Ok(()) }
}

/// Whether sqlx still counts our transaction, so that the next `begin` of a user is a savepoint.
pub(super) fn is_reusable(connection: &PgConnection) -> bool {
    connection.is_in_transaction()
}
