//! The messages that open and close a guarded transaction, one round trip each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use uuid::Uuid;

use super::leased::USES;
use super::tx_options::IsolationLevel;
use crate::names::Literal;
use crate::sql_error::{self, code};
use crate::template;

/// What the session of a connection has seen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Session<'a> {
    /// Nothing yet: the server that answers must be the one that was leased, where it has an identity, and sqlx is told
    /// of the transaction, so that it counts the user's `begin` as a savepoint from then on. `settings` are `SET`
    /// statements, which outlive the transaction.
    New {
        server: Option<&'a str>,
        settings: &'a str,
    },
    /// A transaction of ours, at whose end the database had had so many sessions, if that is known.
    Used { sessions: Option<u64> },
}

/// What a test left of its transaction, and what it may have left behind.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) outcome: Outcome,
    pub(super) remains: Remains,
}

impl Closing {
    /// What is left is not known.
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            remains: Remains::default(),
        }
    }
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
    /// How many sessions the database has ever had, where the server counts them.
    pub(super) sessions: Option<u64>,
}

impl Default for Remains {
    fn default() -> Self {
        Self {
            rows: 0,
            estimates: true,
            session: true,
            intruder: true,
            sessions: None,
        }
    }
}

impl Remains {
    /// Reads what [`rewind`] returns.
    fn read(row: &PgRow, intruder: bool) -> Result<Self, sqlx::Error> {
        let text: &str = row.try_get_unchecked(0)?;
        let mut fields = text.split(' ');
        let mut field = || fields.next().unwrap_or_default();
        // More rows than that are too many in any case.
        let rows = field().parse().unwrap_or(u32::MAX);
        let (estimates, session) = (field() != "f", field() != "f");
        Ok(Self {
            rows,
            estimates,
            session,
            intruder,
            sessions: field().parse().ok(),
        })
    }
}

/// Reads a boolean as the simple protocol spells it.
fn flag(row: &PgRow, column: usize) -> Result<bool, sqlx::Error> {
    let text: &str = row.try_get_unchecked(column)?;
    Ok(text == "t")
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
    Ok(sqlx::raw_sql(AssertSqlSafe(message))
        .execute(connection)
        .await?
        .rows_affected()
        == 1)
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
    let (settings, server, sessions) = match session {
        Session::New { server, settings } => (settings, server, None),
        Session::Used { sessions } => ("", None, sessions),
    };
    // `begin` would take what stands before it in the message along into the transaction.
    let settings = if settings.is_empty() {
        String::new()
    } else {
        format!("begin; {settings}commit; ")
    };
    let identity = server.map_or("null".to_owned(), |identity| Literal(identity).to_string());
    let marked = match sessions {
        // The end of this test detects a session that has begun since then, too.
        Some(sessions) => format!("set local ebbtide.test = '{OPEN}{sessions}'"),
        None => format!(
            "select pg_catalog.set_config('ebbtide.test', {}, true)",
            mark(version_num)
        ),
    };
    let name = test
        .map(|test| format!("set local application_name = {}; ", Literal(test)))
        .unwrap_or_default();
    // A commit fires a trigger; every other way out of the transaction loses a local setting and the savepoint.
    let enter = holder
        .map(|holder| in_its_own("enter", holder))
        .unwrap_or_default();
    let level = level
        .map(|level| format!("isolation level {} ", level.as_sql()))
        .unwrap_or_default();
    let message = format!(
        "{settings}{enter}begin {level}read write; {name}{marked}; \
         insert into _ebbtide.open_test values ({identity}); savepoint _ebbtide"
    );
    if matches!(session, Session::New { .. }) {
        // Dropping it would roll back, and the next `begin` would be a real one again.
        std::mem::forget(connection.begin_with(AssertSqlSafe(message)).await?);
    } else {
        sqlx::raw_sql(AssertSqlSafe(message))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// What the transaction's own setting holds, as an expression: a higher count of sessions at the end means that another
/// client was connected meanwhile.
fn mark(version_num: u32) -> String {
    format!(
        "pg_catalog.concat('{OPEN}', {})",
        template::sessions(version_num)
    )
}

const OPEN: &str = "open ";

/// Writes into the lane who uses it.
pub(super) async fn enter(connection: &mut PgConnection, holder: &str) -> Result<(), sqlx::Error> {
    send(connection, in_its_own("enter", holder)).await
}

/// The deferrable constraints of a template, as its lanes' tests have found them.
#[derive(Debug, Default)]
pub(super) struct Deferrable(Mutex<Option<Names>>);

#[derive(Debug, Clone)]
struct Names {
    /// The user who may name them.
    user: String,
    /// What `SET CONSTRAINTS` shall check, if there is anything.
    names: Option<String>,
}

impl Deferrable {
    fn found(&self) -> MutexGuard<'_, Option<Names>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a commit would check. `is_changed` is whether the test may have added some.
    async fn names(
        &self,
        connection: &mut PgConnection,
        user: &str,
        is_changed: bool,
    ) -> Result<Option<String>, sqlx::Error> {
        let known = self
            .found()
            .clone()
            .filter(|known| !is_changed && known.user == user);
        if let Some(known) = known {
            return Ok(known.names);
        }
        let row = last_row(
            connection,
            "select names from _ebbtide.deferrable".to_owned(),
        )
        .await?;
        let names: Option<&str> = row.try_get_unchecked(0)?;
        let names = names.map(str::to_owned);
        if !is_changed {
            *self.found() = Some(Names {
                user: user.to_owned(),
                names: names.clone(),
            });
        }
        Ok(names)
    }
}

/// The transaction before its end.
struct Ending {
    /// Whether another client has been connected.
    intruder: bool,
    /// What `SET CONSTRAINTS` shall check, if there is anything.
    constraints: Option<String>,
}

/// Checks deferred constraints, rolls back, and undoes what rollback does not undo.
/// `has_cancelled` returns whether a statement that the test had given up was cancelled: the driver reports that here.
pub(super) async fn close(
    connection: &mut PgConnection,
    version_num: u32,
    deferrable: &Deferrable,
    log_is_ours: bool,
    has_cancelled: impl Fn() -> bool,
) -> Closing {
    let closing = match close_inside(connection, version_num, deferrable).await {
        // The test saw a statement fail and stopped there, or changed what is read: that goes with the savepoint, whose name
        // alone proves nothing. query_canceled may be meant for a statement of the test's.
        Err(error) if is_refusal(&error) && (code(&error) != Some("57014") || has_cancelled()) => {
            look_and_close(
                connection,
                "rollback to savepoint _ebbtide; ",
                version_num,
                None,
            )
            .await
        }
        other => other,
    };
    let closing = closing.unwrap_or_else(|error| {
        Closing::of(if is_outside(&error) {
            Outcome::Escaped
        } else {
            Outcome::Lost(error)
        })
    });
    match forget_statements(connection, log_is_ours).await {
        Err(error) if matches!(closing.outcome, Outcome::Clean) => {
            Closing::of(Outcome::Lost(error))
        }
        _ => closing,
    }
}

/// Whether the server has refused a statement of a transaction that may still be the test's own.
fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some() && !is_outside(error) && !sql_error::is_server_gone(error)
}

/// Ends a transaction in which no statement has failed.
async fn close_inside(
    connection: &mut PgConnection,
    version_num: u32,
    deferrable: &Deferrable,
) -> Result<Closing, sqlx::Error> {
    let before = match close_at_once(connection, version_num, deferrable).await {
        Ok(Some(closing)) => return Ok(closing),
        Ok(None) => "",
        Err(error) if code(&error) == Some(DOUBT) => "rollback to savepoint _ebbtide_end; ",
        Err(error) => return Err(error),
    };
    look_and_close(connection, before, version_num, Some(deferrable)).await
}

/// `division_by_zero`: a condition in a message of ours does not hold, and has to be looked at.
pub(super) const DOUBT: &str = "22012";

/// One message for both, where the template has no deferrable constraint; it fails where the transaction is not as
/// usual, before its end.
async fn close_at_once(
    connection: &mut PgConnection,
    version_num: u32,
    deferrable: &Deferrable,
) -> Result<Option<Closing>, sqlx::Error> {
    // Who has none by one role has none by another.
    let has_none = deferrable
        .found()
        .as_ref()
        .is_some_and(|known| known.names.is_none());
    if !has_none {
        return Ok(None);
    }
    let message = format!(
        "savepoint _ebbtide_end; \
         select pg_catalog.concat(1 / (coalesce(pg_catalog.starts_with({TRANSACTION}, '{OPEN}'), false) and {IS_COUNTED} \
             and {CONSTRAINTS_MADE} = 0)::int, {TRANSACTION}); {}",
        rewind(version_num)
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(message))
        .fetch_all(connection)
        .await?;
    let [before, .., after] = rows.as_slice() else {
        return Err(sqlx::Error::RowNotFound);
    };
    let mut remains = Remains::read(after, false)?;
    let opened: &str = before.try_get_unchecked(0)?;
    let sessions = remains
        .sessions
        .map(|sessions| sessions.to_string())
        .unwrap_or_default();
    remains.intruder = opened != format!("1{OPEN}{sessions}");
    Ok(Some(Closing {
        outcome: Outcome::Clean,
        remains,
    }))
}

/// What the transaction's own setting is.
const TRANSACTION: &str = "pg_catalog.current_setting('ebbtide.test', true)";
const IS_COUNTED: &str = "pg_catalog.current_setting('track_counts') = 'on'";
/// Rows of `pg_constraint`, which has this identifier, that the test has written.
const CONSTRAINTS_MADE: &str = "pg_catalog.pg_stat_get_xact_tuples_inserted(2606) + pg_catalog.pg_stat_get_xact_tuples_updated(2606)";

async fn look_and_close(
    connection: &mut PgConnection,
    before: &str,
    version_num: u32,
    deferrable: Option<&Deferrable>,
) -> Result<Closing, sqlx::Error> {
    match look(connection, before, version_num, deferrable).await? {
        Some(ending) => Ok(roll_back(connection, ending, version_num).await),
        None => Ok(Closing::of(Outcome::Escaped)),
    }
}

/// The transaction before its end, if it still is the test's own. No table is read on the usual way.
async fn look(
    connection: &mut PgConnection,
    before: &str,
    version_num: u32,
    deferrable: Option<&Deferrable>,
) -> Result<Option<Ending>, sqlx::Error> {
    // The server is asked again: within a transaction it answers from a snapshot otherwise
    // (https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS).
    let message = format!(
        "{before}select pg_catalog.pg_stat_clear_snapshot(), {TRANSACTION} is distinct from {}, \
         coalesce(pg_catalog.starts_with({TRANSACTION}, '{OPEN}'), false), current_user::pg_catalog.text, \
         {IS_COUNTED} and {CONSTRAINTS_MADE} = 0 as _ebbtide",
        mark(version_num)
    );
    let row = last_row(connection, message).await?;
    let (intruder, is_inside) = (flag(&row, 1)?, flag(&row, 2)?);
    // `RESET ALL` forgets the setting and leaves the row, which this transaction wrote.
    if !is_inside && !has_row(connection).await? {
        return Ok(None);
    }
    let constraints = match deferrable {
        None => None,
        Some(deferrable) => {
            let user: &str = row.try_get_unchecked(3)?;
            deferrable.names(connection, user, !flag(&row, 4)?).await?
        }
    };
    Ok(Some(Ending {
        intruder,
        constraints,
    }))
}

async fn has_row(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query =
        "select exists (select from _ebbtide.open_test where xmin = pg_current_xact_id()::xid)";
    flag(&last_row(connection, query.to_owned()).await?, 0)
}

/// Checks what a commit would have checked, and rolls back.
async fn roll_back(connection: &mut PgConnection, ending: Ending, version_num: u32) -> Closing {
    let Ending {
        intruder,
        constraints,
    } = ending;
    let check = constraints.map(|names| {
        format!("set local ebbtide.closing = 'on'; set constraints {names} immediate; ")
    });
    let rewind = rewind(version_num);
    let message = format!("{}{rewind}", check.as_deref().unwrap_or_default());
    let outcome = match send_and_read(connection, message, intruder).await {
        Ok(remains) => {
            return Closing {
                outcome: Outcome::Clean,
                remains,
            };
        }
        Err(error) if sql_error::is_server_gone(&error) => {
            return Closing::of(Outcome::Lost(error));
        }
        Err(error) if check.is_some() => Outcome::ConstraintViolated(error),
        // Meant for a statement of the test's, such as a cancellation that comes late.
        Err(_) => Outcome::Clean,
    };
    match send_and_read(connection, rewind, intruder).await {
        Ok(remains) => Closing { outcome, remains },
        Err(error) => Closing::of(Outcome::Lost(error)),
    }
}

/// Rolls back, undoes what rollback does not undo, and so needs no commit either, and reads what is left all the same.
fn rewind(version_num: u32) -> String {
    // `setseed` makes `random()` predictable for the rest of the session.
    let (number, _) = Uuid::new_v4().as_u64_pair();
    let seed = f64::from(u32::try_from(number >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    // Otherwise the next test's counts begin with this one's.
    let flush = if version_num >= 150_000 {
        ", pg_catalog.pg_stat_force_next_flush()"
    } else {
        ""
    };
    format!(
        "rollback; begin read write; select pg_catalog.concat_ws(' ', rows, estimates, session, {sessions}, restored, \
         pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed({seed}){flush}) from _ebbtide.rewound; \
         rollback; discard sequences; deallocate all",
        sessions = template::sessions(version_num)
    )
}

/// Sends a message that ends with [`rewind`].
async fn send_and_read(
    connection: &mut PgConnection,
    message: String,
    intruder: bool,
) -> Result<Remains, sqlx::Error> {
    Remains::read(&last_row(connection, message).await?, intruder)
}

/// The last row that the statements of a message return.
pub(super) async fn last_row(
    connection: &mut PgConnection,
    message: String,
) -> Result<PgRow, sqlx::Error> {
    let mut rows = sqlx::raw_sql(AssertSqlSafe(message))
        .fetch_all(connection)
        .await?;
    rows.pop().ok_or(sqlx::Error::RowNotFound)
}

/// Whether the planner sees what it sees in the template: if not, only a new copy will do.
pub(super) async fn proves_estimates(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match last_row(
        connection,
        "select seen from _ebbtide.estimates_seen".to_owned(),
    )
    .await
    {
        Ok(row) => Ok(!flag(&row, 0)?),
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

const RELEASE: &str = concat!("release savepoint ", statement!(), "; ");
const AGAIN: &str = concat!("savepoint ", statement!());
/// Looks for the signs of what `_ebbtide.locals` ends, without the work of parsing statements.
const SIGNS: &str = "select pg_catalog.current_setting('role') <> 'none' \
     or exists (select from pg_catalog.pg_cursor() c where not c.is_holdable and c.name <> '') \
     or exists (select from pg_catalog.pg_prepared_statement() p \
        where p.statement ilike '%local%' or p.statement ilike '%set_config%') as _ebbtide; ";

/// Whether a statement of the server's log is one of ebbtide's own: what it means that it failed is told elsewhere.
pub(super) fn is_own(statement: &str) -> bool {
    statement.contains("_ebbtide")
}

/// Makes the statements since the last time stay, or undoes them if one of them failed: as without a transaction.
pub(super) async fn renew(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match last_row(connection, format!("{RELEASE}{SIGNS}{AGAIN}")).await {
        Ok(row) if flag(&row, 0)? => end_locals(connection).await,
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some("25P02") => {
            let undo = concat!("rollback to savepoint ", statement!());
            sqlx::raw_sql(undo).execute(connection).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Ends what a real COMMIT would have ended.
async fn end_locals(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = last_row(
        connection,
        "select statements from _ebbtide.locals".to_owned(),
    )
    .await?;
    let locals: Option<&str> = row.try_get_unchecked(0)?;
    match locals {
        None => Ok(()),
        Some(statements) => send(connection, format!("{RELEASE}{statements}; {AGAIN}")).await,
    }
}

/// Whether an error says that the transaction is not ours any more.
pub(super) fn is_outside(error: &sqlx::Error) -> bool {
    // no_active_sql_transaction, invalid_savepoint_specification.
    matches!(code(error), Some("25P01" | "3B001"))
}

/// A transaction that tells the lane something which the test's own may not undo.
fn in_its_own(procedure: &str, holder: &str) -> String {
    format!(
        "begin read write; call _ebbtide.{procedure}({}); commit; ",
        Literal(holder)
    )
}

pub(super) async fn send(
    connection: &mut PgConnection,
    message: String,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(message))
        .execute(connection)
        .await
        .map(drop)
}

/// The server has forgotten the prepared statements; so must the driver. It sends a message about that, and reads the answer
/// before its next one, for which the end of a test on a server of ours does not wait. The log of the server has a line for
/// each process that ends without reading it, so where the log is not ours the answer is awaited.
async fn forget_statements(
    connection: &mut PgConnection,
    log_is_ours: bool,
) -> Result<(), sqlx::Error> {
    if connection.cached_statements_size() == 0 {
        return Ok(());
    }
    if !log_is_ours {
        return connection.clear_cached_statements().await;
    }
    let mut forgetting = std::pin::pin!(connection.clear_cached_statements());
    match std::future::poll_fn(|context| Poll::Ready(forgetting.as_mut().poll(context))).await {
        Poll::Ready(forgotten) => forgotten,
        Poll::Pending => Ok(()),
    }
}

/// Whether sqlx still counts our transaction, so that the next `begin` of a user is a savepoint.
pub(super) fn is_reusable(connection: &PgConnection) -> bool {
    connection.is_in_transaction()
}
