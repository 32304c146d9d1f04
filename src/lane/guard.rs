//! The messages that open and close a guarded transaction, one round trip each.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::leased::USES;
use super::tx_options::IsolationLevel;
use crate::names::{DatabaseName, Literal};
use crate::sql_error::{self, code};
use crate::template;

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

/// What a test left of its transaction, and what it may have left behind.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) outcome: Outcome,
    pub(super) remains: Remains,
}

/// What a test may have left behind although it was rolled back. By default everything that is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remains {
    /// Rows that it wrote: they stay in the tables as dead ones.
    pub(super) rows: u32,
    /// Whether ANALYZE or CREATE INDEX may have changed what the planner reads.
    pub(super) estimates: bool,
    /// Whether the session may differ from a new one in what no command resets.
    pub(super) session: bool,
    /// Whether another client was connected, and may have committed.
    pub(super) intruder: bool,
}

impl Default for Remains {
    fn default() -> Self {
        Self { rows: 0, estimates: true, session: true, intruder: true }
    }
}

impl Remains {
    /// Reads the four numbers of `_ebbtide.check`.
    fn read(seen: &str) -> Option<Self> {
        let mut numbers = seen.split(' ').map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let rows = u32::try_from(next()?).unwrap_or(u32::MAX);
        Some(Self { rows, estimates: next()? > 0, session: next()? > 0, intruder: next()? > 0 })
    }
}

/// How the test's transaction ended.
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
    version_num: u32,
) -> Result<(), sqlx::Error> {
    let (settings, server) = match session {
        Session::New { server, settings } => (settings, server),
        Session::Used => ("", None),
    };
    // `begin` would take what stands before it in the message along into the transaction.
    let settings = if settings.is_empty() { String::new() } else { format!("begin; {settings}commit; ") };
    let identity = server.map_or("null".to_owned(), |identity| Literal(identity).to_string());
    let row = format!("(server, sessions) values ({identity}, {})", template::sessions(version_num));
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

/// Checks deferred constraints, rolls back, and undoes what rollback does not undo.
/// `has_cancelled` returns whether a statement that the test had given up was cancelled: the driver reports that here.
pub(super) async fn close(connection: &mut PgConnection, has_cancelled: impl Fn() -> bool) -> Closing {
    let ending = format!("call _ebbtide.check(''); rollback; {REWIND}");
    let (outcome, remains) = match send_and_see(connection, ending).await {
        Ok(remains) => (Outcome::Clean, remains),
        Err(error) => match code(&error) {
            // in_failed_sql_transaction: the test saw a statement fail and stopped there.
            Some("25P02") => close_failed(connection, Outcome::Clean).await,
            Some("57014") if has_cancelled() => close_failed(connection, Outcome::Clean).await,
            Some(_) if is_outside(&error) => (Outcome::Escaped, Remains::default()),
            Some(_) if !sql_error::is_server_gone(&error) => {
                close_failed(connection, Outcome::ConstraintViolated(error)).await
            }
            Some(_) | None => (Outcome::Lost(error), Remains::default()),
        },
    };
    let outcome = match (outcome, forget_statements(connection).await) {
        (Outcome::Clean, Err(error)) => Outcome::Lost(error),
        (outcome, _) => outcome,
    };
    Closing { outcome, remains }
}

/// Whether the planner sees what it sees in the template: if not, only a new copy will do.
pub(super) async fn proves_estimates(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match send(connection, "call _ebbtide.prove_estimates()".to_owned()).await {
        Ok(()) => Ok(true),
        Err(error) if sql_error::is_server_gone(&error) => Err(error),
        Err(error) => {
            tracing::debug!(%error, "a lane has to be copied again");
            Ok(false)
        }
    }
}

/// Writes into the lane that it equals the template again, where the lane itself records that.
pub(super) async fn leave(connection: &mut PgConnection, holder: &str) -> Result<(), sqlx::Error> {
    send(connection, in_its_own("leave", holder)).await
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

const STAY: &str =
    concat!("release savepoint ", statement!(), "; call _ebbtide.end_locals(); savepoint ", statement!());

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

/// Undoes what a test has committed, or fails with EB001 where only a new copy will do. A superuser can rename the
/// database below its own session.
pub(super) async fn reset(
    connection: &mut PgConnection,
    holder: Option<&str>,
    renamed: Option<&DatabaseName>,
) -> Result<(), sqlx::Error> {
    let leave = holder.map(|holder| format!("call _ebbtide.leave({}); ", Literal(holder))).unwrap_or_default();
    // ALTER DATABASE refuses the current database, and any other with a session on it. The name is a column of one row,
    // which sessions look up by its identifier.
    let rename = renamed.map(|name| {
        format!("update pg_database set datname = {} where datname = current_database(); ", Literal(name.as_str()))
    });
    let rename = rename.unwrap_or_default();
    let message = format!(
        "begin read write; set local synchronous_commit = off; {UNTOUCHED}; call _ebbtide.reset(); {leave}{rename}commit; \
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

/// Fails if a row of `pg_proc`, whose identifier is 1255, was written since the copy: it may be the procedure that judges
/// the rest.
const UNTOUCHED: &str = "select 1 / (pg_stat_get_tuples_inserted(1255) + pg_stat_get_tuples_updated(1255) \
                         + pg_stat_get_tuples_deleted(1255) = 0)::int";

/// The next reset counts from here. Ours are counted too, and reach the server when the session is idle.
async fn forget_counts(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    send(connection, "select pg_stat_force_next_flush()".to_owned()).await?;
    let forget = "begin read write; set local synchronous_commit = off; select pg_stat_reset(); \
                  update _ebbtide.baseline set counted_since = (select pg_stat_get_db_stat_reset_time(oid) \
                  from pg_database where datname = current_database()); commit";
    send(connection, forget.to_owned()).await
}

async fn close_failed(connection: &mut PgConnection, meaning: Outcome) -> (Outcome, Remains) {
    // The savepoint alone proves nothing: a test may have set one of this name in a transaction of its own.
    let ending = format!("rollback to savepoint _ebbtide; call _ebbtide.check_open(''); rollback; {REWIND}");
    match send_and_see(connection, ending).await {
        Ok(remains) => (meaning, remains),
        Err(error) if is_outside(&error) => (Outcome::Escaped, Remains::default()),
        Err(error) => (Outcome::Lost(error), Remains::default()),
    }
}

/// Sends statements of which one is a call that returns what a test may have left behind.
async fn send_and_see(connection: &mut PgConnection, ending: String) -> Result<Remains, sqlx::Error> {
    let rows = sqlx::raw_sql(AssertSqlSafe(ending)).fetch_all(connection).await?;
    let seen: &str = rows.first().map_or(Ok(""), |row| row.try_get_unchecked(0))?;
    Ok(Remains::read(seen).unwrap_or_default())
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
