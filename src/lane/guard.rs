//! The messages that open and close a guarded transaction, usually one round trip each.
//!
//! ```text
//!  open      begin; set local ebbtide.test = 'open <n>'; a row in open_test; savepoint _ebbtide
//!    |
//!  the test's statements
//!    |
//!  close ---> close_at_once, one message ----------- as usual --------------> Clean
//!    |            | 22012, not as usual: rollback to savepoint _ebbtide_end
//!    |            v
//!    |        inspect -- neither the setting nor the row is there ----------> Escaped
//!    |            | the test's own transaction
//!    |            v
//!    |        roll_back: set constraints immediate; rollback ---------------> Clean
//!    |            | a constraint fails: rollback ---------------------------> ConstraintViolated
//!    |
//!    +-- the server rejects one of these: rollback to savepoint _ebbtide; inspect; roll_back
//!    |
//!    +-- 25P01 or 3B001: no transaction, or one without the savepoint ------> Escaped
//!    +-- any other error ---------------------------------------------------> Lost
//! ```
//!
//! The name of the savepoint proves nothing, since a test can create one with the same name. What
//! proves that the transaction is still the one that `open` began is the local setting, which every
//! end of the transaction resets. If `RESET ALL` has removed the setting, the row proves it: `xmin`
//! shows that this transaction wrote it. A trigger on the row's table rejects a COMMIT.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use uuid::Uuid;

use super::wear::MAX_USES;
use crate::config::IsolationLevel;
use crate::guard::session_count_sql;
use crate::names::Literal;
use crate::sql_error::{self, code};

/// Whether a session has had a guarded transaction before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Session<'a> {
    /// It has not. The message checks that the server has the expected identity, where it has one:
    /// another server may listen at the address by now. sqlx begins the transaction, so it counts
    /// the user's `begin` as a savepoint from then on. `settings` are `SET` statements, which
    /// outlive the transaction.
    New {
        server: Option<&'a str>,
        settings: &'a str,
    },
    /// It has. `session_count` is how many sessions the database had ever had when that transaction
    /// ended, if known.
    Used { session_count: Option<u64> },
}

/// How a test's transaction ended, and what the test may have left behind.
#[derive(Debug)]
pub(super) struct CloseResult {
    pub(super) outcome: Outcome,
    pub(super) remains: Remains,
}

impl CloseResult {
    /// The result if ebbtide could not read what the test left behind.
    fn with_unknown_remains(outcome: Outcome) -> Self {
        Self {
            outcome,
            remains: Remains::default(),
        }
    }
}

/// What a test may have left behind although it was rolled back. The default assumes everything
/// that is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remains {
    /// Rows that the test wrote. They stay in the tables as dead rows.
    pub(super) dead_rows: u32,
    /// Whether ANALYZE or CREATE INDEX may have changed what the planner reads.
    pub(super) estimates_changed: bool,
    /// Whether the session may differ from a new one in what no command resets.
    pub(super) session_changed: bool,
    /// Whether another client was connected, and may have committed.
    pub(super) other_client: bool,
    /// How many sessions the database has ever had, where the server counts them.
    pub(super) session_count: Option<u64>,
}

impl Default for Remains {
    fn default() -> Self {
        Self {
            dead_rows: 0,
            estimates_changed: true,
            session_changed: true,
            other_client: true,
            session_count: None,
        }
    }
}

impl Remains {
    /// Reads what [`rewind`] returns.
    fn read(row: &PgRow, other_client: bool) -> Result<Self, sqlx::Error> {
        let text: &str = row.try_get_unchecked(0)?;
        let mut fields = text.split(' ');
        let mut field = || fields.next().unwrap_or_default();
        // A count above `u32::MAX` exceeds every limit as well.
        let dead_rows = field().parse().unwrap_or(u32::MAX);
        let (estimates_changed, session_changed) = (field() != "f", field() != "f");
        Ok(Self {
            dead_rows,
            estimates_changed,
            session_changed,
            other_client,
            session_count: field().parse().ok(),
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
    /// Rolled back.
    Clean,
    /// Rolled back, and a deferred constraint or trigger rejected what the test wrote.
    ConstraintViolated(sqlx::Error),
    /// The test had ended the transaction itself, so the lane may contain anything.
    Escaped,
    /// The connection or the server failed.
    Lost(sqlx::Error),
}

/// Records the holder in the lane's own table, if the lane is clean and not worn. One UPDATE checks
/// and records, so two processes cannot both claim the lane. Returns whether this process holds it.
pub(super) async fn try_claim(
    connection: &mut PgConnection,
    holder: &str,
) -> Result<bool, sqlx::Error> {
    let message = format!(
        "begin read write; set local synchronous_commit = off; \
         update _ebbtide.lane set clean = false, holder = {} \
         where clean and uses < {MAX_USES}; commit",
        Literal(holder)
    );
    Ok(sqlx::raw_sql(AssertSqlSafe(message))
        .execute(connection)
        .await?
        .rows_affected()
        == 1)
}

/// Opens the guarded transaction in one message. Its parts, in this order:
///
/// 1. Settings, in a transaction of their own. In a message of several statements, `begin` includes
///    the statements before it in its transaction, and the rollback would undo them.
/// 2. If the lane's own table records its holder, a committed transaction that marks the lane as
///    not clean. It fails with 57P0E if another process has claimed the lane meanwhile.
/// 3. `begin .. read write`: the session is read only by default.
/// 4. The local setting and the row that prove at the end that this is still the same transaction.
/// 5. The savepoint that the close rolls back to after a statement of the test has failed.
///
/// `test` is given if the session has another `application_name`, `holder` if the lane's own table
/// records its holder.
pub(super) async fn open(
    connection: &mut PgConnection,
    session: Session<'_>,
    level: Option<IsolationLevel>,
    test: Option<&str>,
    holder: Option<&str>,
    version_num: u32,
) -> Result<(), sqlx::Error> {
    let (settings, server, session_count) = match session {
        Session::New { server, settings } => (settings, server, None),
        Session::Used { session_count } => ("", None, session_count),
    };
    let settings = if settings.is_empty() {
        String::new()
    } else {
        format!("begin; {settings}commit; ")
    };
    let identity = server.map_or("null".to_owned(), |identity| Literal(identity).to_string());
    let set_mark = match session_count {
        // With the count at the previous test's end, this test's end also detects a client that
        // connected in between.
        Some(count) => format!("set local ebbtide.test = '{OPEN_MARK}{count}'"),
        None => format!(
            "select pg_catalog.set_config('ebbtide.test', {}, true)",
            session_count_mark(version_num)
        ),
    };
    let name = test
        .map(|test| format!("set local application_name = {}; ", Literal(test)))
        .unwrap_or_default();
    let enter = holder
        .map(|holder| in_own_transaction("enter", holder))
        .unwrap_or_default();
    let level = level
        .map(|level| format!("isolation level {} ", level.as_sql()))
        .unwrap_or_default();
    let message = format!(
        "{settings}{enter}begin {level}read write; {name}{set_mark}; \
         insert into _ebbtide.open_test values ({identity}); savepoint _ebbtide"
    );
    if matches!(session, Session::New { .. }) {
        // Dropping sqlx's `Transaction` would roll back, and the user's next `begin` would send a
        // BEGIN.
        std::mem::forget(connection.begin_with(AssertSqlSafe(message)).await?);
    } else {
        sqlx::raw_sql(AssertSqlSafe(message))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The value of the transaction's local setting, as an SQL expression. If the count of sessions is
/// higher at the end, another client was connected during the test.
fn session_count_mark(version_num: u32) -> String {
    format!(
        "pg_catalog.concat('{OPEN_MARK}', {})",
        session_count_sql(version_num)
    )
}

/// The local setting's value without the count of sessions.
const OPEN_MARK: &str = "open ";

/// Marks the lane as not clean in its own table.
///
/// # Errors
/// 57P0E: another process has claimed the lane.
pub(super) async fn mark_dirty(
    connection: &mut PgConnection,
    holder: &str,
) -> Result<(), sqlx::Error> {
    execute(connection, in_own_transaction("enter", holder)).await
}

/// A cache of the deferrable constraints of a template. The first test that closes fills it, so the
/// later ones need no query.
#[derive(Debug, Default)]
pub(super) struct DeferrableConstraints(Mutex<Option<KnownConstraints>>);

#[derive(Debug, Clone)]
struct KnownConstraints {
    /// The role for which the names were read. Another role may lack the privilege to name them.
    user: String,
    /// The argument of `SET CONSTRAINTS`, or `None` if there is no deferrable constraint.
    names: Option<String>,
}

impl DeferrableConstraints {
    fn cached(&self) -> MutexGuard<'_, Option<KnownConstraints>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The constraints that a commit would check. If the test may have added some (`is_changed`),
    /// they are read from the lane and not cached.
    async fn names(
        &self,
        connection: &mut PgConnection,
        user: &str,
        is_changed: bool,
    ) -> Result<Option<String>, sqlx::Error> {
        let known = self
            .cached()
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
            *self.cached() = Some(KnownConstraints {
                user: user.to_owned(),
                names: names.clone(),
            });
        }
        Ok(names)
    }
}

/// What is known about the test's transaction right before the rollback.
struct BeforeRollback {
    /// Whether another client was connected during the test.
    other_client: bool,
    /// The argument of `SET CONSTRAINTS`, if there is anything to check.
    constraints: Option<String>,
}

/// Checks deferred constraints, rolls back, and undoes what rollback does not undo.
///
/// `has_cancelled` returns whether ebbtide has asked the server to cancel a statement whose future
/// the test had dropped. The driver reports that statement's `query_canceled` (57014) as the result
/// of the close. The close then starts again from the savepoint. Without such a cancellation, 57014
/// is an error.
///
/// A failed statement aborts the transaction, and the server then rejects all statements but a
/// rollback. A test may also have changed what the close reads. `rollback to savepoint _ebbtide`
/// undoes both. Constraints are not checked after that, because what the test wrote is gone.
pub(super) async fn close(
    connection: &mut PgConnection,
    version_num: u32,
    deferrable: &DeferrableConstraints,
    owns_log: bool,
    has_cancelled: impl Fn() -> bool,
) -> CloseResult {
    let result = match close_inside(connection, version_num, deferrable).await {
        Err(error) if is_refusal(&error) && (code(&error) != Some("57014") || has_cancelled()) => {
            inspect_and_close(
                connection,
                "rollback to savepoint _ebbtide; ",
                version_num,
                None,
            )
            .await
        }
        other => other,
    };
    let result = result.unwrap_or_else(|error| {
        CloseResult::with_unknown_remains(if has_left_transaction(&error) {
            Outcome::Escaped
        } else {
            Outcome::Lost(error)
        })
    });
    match clear_statement_cache(connection, owns_log).await {
        Err(error) if matches!(result.outcome, Outcome::Clean) => {
            CloseResult::with_unknown_remains(Outcome::Lost(error))
        }
        _ => result,
    }
}

/// Whether the server rejected a statement, while the session may still be in the test's guarded
/// transaction.
fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some() && !has_left_transaction(error) && !sql_error::is_server_gone(error)
}

/// Ends a transaction in which no statement has failed: in one message if everything is as usual,
/// otherwise after an inspection.
async fn close_inside(
    connection: &mut PgConnection,
    version_num: u32,
    deferrable: &DeferrableConstraints,
) -> Result<CloseResult, sqlx::Error> {
    let first_statement = match close_at_once(connection, version_num, deferrable).await {
        Ok(Some(result)) => return Ok(result),
        Ok(None) => "",
        Err(error) if code(&error) == Some(CONDITION_FAILED) => {
            "rollback to savepoint _ebbtide_end; "
        }
        Err(error) => return Err(error),
    };
    inspect_and_close(connection, first_statement, version_num, Some(deferrable)).await
}

/// `division_by_zero`: `1 / condition::int` in a message of ebbtide's fails if the condition does
/// not hold. So the server stops at that statement and does not execute the rest of the message.
pub(super) const CONDITION_FAILED: &str = "22012";

/// Inspects and rolls back in one message, if the template has no deferrable constraint. Returns
/// `None` if it may have some.
///
/// # Errors
/// [`CONDITION_FAILED`], before the rollback: the local setting is gone, the test has changed a
/// constraint, or the server does not count what the test writes.
async fn close_at_once(
    connection: &mut PgConnection,
    version_num: u32,
    deferrable: &DeferrableConstraints,
) -> Result<Option<CloseResult>, sqlx::Error> {
    // Only the names depend on the role. If there is no constraint for one role, there is none for
    // any.
    let has_none = deferrable
        .cached()
        .as_ref()
        .is_some_and(|known| known.names.is_none());
    if !has_none {
        return Ok(None);
    }
    let message = format!(
        "savepoint _ebbtide_end; \
         select pg_catalog.concat(1 / (\
             coalesce(pg_catalog.starts_with({TEST_SETTING}, '{OPEN_MARK}'), false) \
             and {IS_COUNTING} and {CONSTRAINTS_WRITTEN} = 0)::int, {TEST_SETTING}); {}",
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
    let session_count = remains
        .session_count
        .map(|count| count.to_string())
        .unwrap_or_default();
    remains.other_client = opened != format!("1{OPEN_MARK}{session_count}");
    Ok(Some(CloseResult {
        outcome: Outcome::Clean,
        remains,
    }))
}

/// The value of the transaction's local setting, null if there is none.
const TEST_SETTING: &str = "pg_catalog.current_setting('ebbtide.test', true)";
const IS_COUNTING: &str = "pg_catalog.current_setting('track_counts') = 'on'";
/// How many rows of `pg_constraint` the test has written. 2606 is the identifier of that catalog.
const CONSTRAINTS_WRITTEN: &str = "pg_catalog.pg_stat_get_xact_tuples_inserted(2606) \
     + pg_catalog.pg_stat_get_xact_tuples_updated(2606)";

/// Rolls back if the transaction is still the test's own. `first_statement`, if any, ends
/// the failed state of a transaction. Without `deferrable` no constraints are checked.
async fn inspect_and_close(
    connection: &mut PgConnection,
    first_statement: &str,
    version_num: u32,
    deferrable: Option<&DeferrableConstraints>,
) -> Result<CloseResult, sqlx::Error> {
    match inspect(connection, first_statement, version_num, deferrable).await? {
        Some(before) => Ok(roll_back(connection, before, version_num).await),
        None => Ok(CloseResult::with_unknown_remains(Outcome::Escaped)),
    }
}

/// Returns the state of the transaction, or `None` if it is not the test's own any more.
///
/// The row in `open_test` is read only if the local setting is gone, because reading a table costs
/// more.
async fn inspect(
    connection: &mut PgConnection,
    first_statement: &str,
    version_num: u32,
    deferrable: Option<&DeferrableConstraints>,
) -> Result<Option<BeforeRollback>, sqlx::Error> {
    // Within a transaction the server may answer from a snapshot of its statistics, so the message
    // discards the snapshot
    // (https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS).
    let message = format!(
        "{first_statement}select pg_catalog.pg_stat_clear_snapshot(), \
         {TEST_SETTING} is distinct from {}, \
         coalesce(pg_catalog.starts_with({TEST_SETTING}, '{OPEN_MARK}'), false), \
         current_user::pg_catalog.text, {IS_COUNTING} and {CONSTRAINTS_WRITTEN} = 0 as _ebbtide",
        session_count_mark(version_num)
    );
    let row = last_row(connection, message).await?;
    let (other_client, is_inside) = (flag(&row, 1)?, flag(&row, 2)?);
    // `RESET ALL` removes the setting, but not the row that this transaction wrote.
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
    Ok(Some(BeforeRollback {
        other_client,
        constraints,
    }))
}

/// Whether the current transaction wrote a row of `open_test`.
async fn has_row(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query =
        "select exists (select from _ebbtide.open_test where xmin = pg_current_xact_id()::xid)";
    flag(&last_row(connection, query.to_owned()).await?, 0)
}

/// Checks what a commit would have checked, and rolls back.
///
/// `ebbtide.closing` makes the trigger on `open_test` accept the check. If the message fails, the
/// transaction is aborted and a second message rolls it back.
async fn roll_back(
    connection: &mut PgConnection,
    before: BeforeRollback,
    version_num: u32,
) -> CloseResult {
    let BeforeRollback {
        other_client,
        constraints,
    } = before;
    let check = constraints.map(|names| {
        format!("set local ebbtide.closing = 'on'; set constraints {names} immediate; ")
    });
    let rewind = rewind(version_num);
    let message = format!("{}{rewind}", check.as_deref().unwrap_or_default());
    let outcome = match execute_and_read(connection, message, other_client).await {
        Ok(remains) => {
            return CloseResult {
                outcome: Outcome::Clean,
                remains,
            };
        }
        Err(error) if sql_error::is_server_gone(&error) => {
            return CloseResult::with_unknown_remains(Outcome::Lost(error));
        }
        Err(error) if check.is_some() => Outcome::ConstraintViolated(error),
        // There was nothing to check, so the error belongs to a statement of the test, such as a
        // late cancellation.
        Err(_) => Outcome::Clean,
    };
    match execute_and_read(connection, rewind, other_client).await {
        Ok(remains) => CloseResult { outcome, remains },
        Err(error) => CloseResult::with_unknown_remains(Outcome::Lost(error)),
    }
}

/// Rolls back, undoes what rollback does not undo, and reads what is left.
///
/// What rollback does not undo is not transactional: sequences, advisory locks, the seed of
/// `random()`. A second transaction restores these, and a rollback ends that one, too. So no commit
/// is needed.
fn rewind(version_num: u32) -> String {
    // A test may have called `setseed`, which makes `random()` predictable for the rest of the
    // session.
    let (number, _) = Uuid::new_v4().as_u64_pair();
    let seed = f64::from(u32::try_from(number >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    // The session's statistics reach the server's after a delay. Without a flush, the next test's
    // counts would include those of this test.
    let flush = if version_num >= 150_000 {
        ", pg_catalog.pg_stat_force_next_flush()"
    } else {
        ""
    };
    format!(
        "rollback; begin read write; \
         select pg_catalog.concat_ws(' ', rows, estimates, session, {session_count}, restored, \
         pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed({seed}){flush}) \
         from _ebbtide.rewound; \
         rollback; discard sequences; deallocate all",
        session_count = session_count_sql(version_num)
    )
}

/// Executes a message that ends with [`rewind`], and reads what that returns.
async fn execute_and_read(
    connection: &mut PgConnection,
    message: String,
    other_client: bool,
) -> Result<Remains, sqlx::Error> {
    Remains::read(&last_row(connection, message).await?, other_client)
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

/// Whether the planner's inputs are the same as in the template. If they are not, the lane needs a
/// reset or a new copy.
pub(super) async fn estimates_are_unchanged(
    connection: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
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

/// Marks the lane as clean in its own table: it equals the template again.
pub(super) async fn mark_clean(
    connection: &mut PgConnection,
    holder: &str,
) -> Result<(), sqlx::Error> {
    execute(connection, in_own_transaction("leave", holder)).await
}

/// sqlx's name for the savepoint of its second level. A sandbox uses the same name, because sqlx
/// rolls back to it after a `begin_with` inside a transaction, which it rejects. With another name,
/// sqlx would end the guarded transaction.
macro_rules! statement_savepoint {
    () => {
        "_sqlx_savepoint_1"
    };
}

/// Opens the savepoint in which the statements outside the application's transactions run. sqlx
/// counts it as a level, so that the application's `begin` opens a savepoint within it.
pub(super) async fn begin_statement_savepoint(
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    std::mem::forget(connection.begin().await?);
    Ok(())
}

const RELEASE_SAVEPOINT: &str = concat!("release savepoint ", statement_savepoint!(), "; ");
const NEW_SAVEPOINT: &str = concat!("savepoint ", statement_savepoint!());
/// Whether there may be something that `_ebbtide.locals` ends. The check is cheap because it parses
/// no statements; it may be true without cause.
const LOCALS_MAY_EXIST: &str = "select pg_catalog.current_setting('role') <> 'none' \
     or exists (select from pg_catalog.pg_cursor() c where not c.is_holdable and c.name <> '') \
     or exists (select from pg_catalog.pg_prepared_statement() p \
        where p.statement ilike '%local%' or p.statement ilike '%set_config%') as _ebbtide; ";

/// Whether a statement in the server's log is one of ebbtide's own. Reports omit these, because an
/// error of ebbtide already states what their failure means.
pub(super) fn is_own_statement(statement: &str) -> bool {
    statement.contains("_ebbtide")
}

/// Ends the savepoint around the statements that the application executed outside its transactions,
/// and opens the next.
///
/// Without a transaction, successful statements would be committed and a failed one undone. The
/// same happens here: the savepoint is released, or rolled back to if a statement has failed
/// (25P02). Called when the connection returns to the sandbox's pool.
///
/// # Errors
/// 25P01 or 3B001: the application has left the guarded transaction.
pub(super) async fn renew_savepoint(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match last_row(
        connection,
        format!("{RELEASE_SAVEPOINT}{LOCALS_MAY_EXIST}{NEW_SAVEPOINT}"),
    )
    .await
    {
        Ok(row) if flag(&row, 0)? => end_locals(connection).await,
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some("25P02") => {
            let undo = concat!("rollback to savepoint ", statement_savepoint!());
            sqlx::raw_sql(undo).execute(connection).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Ends what a real COMMIT would have ended: a role, cursors without hold, local settings.
async fn end_locals(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = last_row(
        connection,
        "select statements from _ebbtide.locals".to_owned(),
    )
    .await?;
    let locals: Option<&str> = row.try_get_unchecked(0)?;
    match locals {
        None => Ok(()),
        Some(statements) => {
            execute(
                connection,
                format!("{RELEASE_SAVEPOINT}{statements}; {NEW_SAVEPOINT}"),
            )
            .await
        }
    }
}

/// Whether an error means that the session is not in the guarded transaction any more.
pub(super) fn has_left_transaction(error: &sqlx::Error) -> bool {
    // no_active_sql_transaction, invalid_savepoint_specification.
    matches!(code(error), Some("25P01" | "3B001"))
}

/// The SQL of a transaction that calls a procedure of the lane and commits. The test's rollback
/// does not undo what the procedure writes.
fn in_own_transaction(procedure: &str, holder: &str) -> String {
    format!(
        "begin read write; call _ebbtide.{procedure}({}); commit; ",
        Literal(holder)
    )
}

pub(super) async fn execute(
    connection: &mut PgConnection,
    message: String,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(message))
        .execute(connection)
        .await
        .map(drop)
}

/// Empties sqlx's cache of prepared statements, which `deallocate all` has deleted on the server.
///
/// For that sqlx sends a message and waits for the answer. On a server that ebbtide has started,
/// the end of a test does not wait: it polls the future once, which sends the message, and sqlx
/// reads the answer before its next message. If the process ends before, the server logs the broken
/// connection. On an external server (`owns_log` is false) that line would appear in its owner's
/// log, so there the answer is awaited.
async fn clear_statement_cache(
    connection: &mut PgConnection,
    owns_log: bool,
) -> Result<(), sqlx::Error> {
    if connection.cached_statements_size() == 0 {
        return Ok(());
    }
    if !owns_log {
        return connection.clear_cached_statements().await;
    }
    let mut clearing = std::pin::pin!(connection.clear_cached_statements());
    match std::future::poll_fn(|context| Poll::Ready(clearing.as_mut().poll(context))).await {
        Poll::Ready(cleared) => cleared,
        Poll::Pending => Ok(()),
    }
}

/// Whether sqlx still counts the guarded transaction, so that a user's next `begin` opens a
/// savepoint.
pub(super) fn is_transaction_counted(connection: &PgConnection) -> bool {
    connection.is_in_transaction()
}
