//! Ends a guarded transaction.
//!
//! ```text
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

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::close_result::{CloseResult, Outcome, Remains};
use super::condition::{CONDITION_FAILED, has_left_transaction};
use super::deferrable::DeferrableConstraints;
use super::driver::clear_statement_cache;
use super::exchange::{execute, flag, last_row, rows};
use super::message::close::{self as message, Before};
use super::message::mark;
use super::session::SessionLogin;
use crate::sql_error::{self, code};

/// What ending a guarded transaction depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing<'a> {
    /// The server's version, as `server_version_num`.
    pub(crate) version_num: u32,
    /// The cache of the template.
    pub(crate) deferrable: &'a DeferrableConstraints,
    /// Whether the server's log belongs to ebbtide.
    pub(crate) owns_log: bool,
    pub(crate) login: SessionLogin,
}

/// Checks deferred constraints, rolls back, and undoes what rollback does not undo.
///
/// `has_cancelled` returns whether ebbtide has requested the cancellation of a statement whose
/// future the test had dropped. The driver reports that statement's `query_canceled` (57014) as the
/// result of the close. The close then starts again from the savepoint. Without such a
/// cancellation, 57014 is an error.
///
/// A failed statement aborts the transaction, and the server then rejects all statements but a
/// rollback. A test may also have changed what the close reads. `rollback to savepoint _ebbtide`
/// undoes both.
pub(crate) async fn close(
    connection: &mut PgConnection,
    closing: Closing<'_>,
    has_cancelled: impl Fn() -> bool,
) -> CloseResult {
    let result = match close_inside(connection, closing).await {
        // Without a cancellation by ebbtide, 57014 comes from the test's own `statement_timeout` or
        // from another session. The author of the test has to see it.
        Err(error) if is_refusal(&error) && (code(&error) != Some("57014") || has_cancelled()) => {
            // No constraints are checked, because what the test wrote is gone then.
            inspect_and_close(connection, Before::UndoTest, closing, None).await
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
    // An error here must not hide an escape or a violated constraint, which the author of the test
    // has to see.
    match clear_statement_cache(connection, closing.owns_log).await {
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
    closing: Closing<'_>,
) -> Result<CloseResult, sqlx::Error> {
    let before = if closing.deferrable.are_absent() {
        match close_at_once(connection, closing).await {
            Ok(result) => return Ok(result),
            // The failed condition has aborted the transaction after `_ebbtide_end`, so what the
            // test wrote can still be checked.
            Err(error) if code(&error) == Some(CONDITION_FAILED) => Before::UndoEnd,
            Err(error) => return Err(error),
        }
    } else {
        Before::Nothing
    };
    let deferrable = Some(closing.deferrable);
    inspect_and_close(connection, before, closing, deferrable).await
}

/// Inspects and rolls back in one message. Only for a template without deferrable constraints: the
/// message does not check any.
///
/// # Errors
/// [`CONDITION_FAILED`], before the rollback: the local setting is gone, the test has changed a
/// constraint, or the server does not count what the test writes.
async fn close_at_once(
    connection: &mut PgConnection,
    closing: Closing<'_>,
) -> Result<CloseResult, sqlx::Error> {
    let message = message::at_once(&rewind(closing));
    let rows = rows(connection, message).await?;
    let [before, .., after] = rows.as_slice() else {
        return Err(sqlx::Error::RowNotFound);
    };
    let mut remains = Remains::read(after, false)?;
    // The server compares nothing here, because the count is read only once, after the rollback. So
    // it includes a client that connected while this message was executed.
    let mark_before: &str = before.try_get_unchecked(0)?;
    remains.other_client = mark_before != format!("1{}", mark::text(remains.session_count));
    Ok(CloseResult {
        outcome: Outcome::Clean,
        remains,
    })
}

/// Rolls back if the transaction is still the test's own. Without `deferrable` no constraints are
/// checked.
async fn inspect_and_close(
    connection: &mut PgConnection,
    before: Before,
    closing: Closing<'_>,
    deferrable: Option<&DeferrableConstraints>,
) -> Result<CloseResult, sqlx::Error> {
    match inspect(connection, before, closing.version_num, deferrable).await? {
        Some(found) => Ok(roll_back(connection, found, closing).await),
        None => Ok(CloseResult::with_unknown_remains(Outcome::Escaped)),
    }
}

/// What is known about the test's transaction right before the rollback.
struct BeforeRollback {
    /// Whether another client was connected during the test.
    other_client: bool,
    /// The argument of `SET CONSTRAINTS`, if there is anything to check.
    constraints: Option<String>,
}

/// Returns the state of the transaction, or `None` if it is not the test's own any more.
async fn inspect(
    connection: &mut PgConnection,
    before: Before,
    version_num: u32,
    deferrable: Option<&DeferrableConstraints>,
) -> Result<Option<BeforeRollback>, sqlx::Error> {
    let row = last_row(connection, message::inspect(before, version_num)).await?;
    // Column 0 is the result of `pg_stat_clear_snapshot()`.
    let (other_client, is_marked) = (flag(&row, 1)?, flag(&row, 2)?);
    // The row is read only if the setting is gone, because reading a table costs more.
    if !is_marked && !flag(&last_row(connection, mark::has_row()).await?, 0)? {
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

/// Checks what a commit would have checked, and rolls back.
async fn roll_back(
    connection: &mut PgConnection,
    found: BeforeRollback,
    closing: Closing<'_>,
) -> CloseResult {
    let check = found.constraints.as_deref().map(message::check_constraints);
    let rewind = rewind(closing);
    let message = format!("{}{rewind}", check.as_deref().unwrap_or_default());
    let outcome = match execute_and_read(connection, message, found.other_client).await {
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
    // The error has aborted the transaction, and the server has not executed the message's
    // ROLLBACK. So a second message does.
    match execute_and_read(connection, rewind, found.other_client).await {
        Ok(remains) => CloseResult { outcome, remains },
        Err(error) => CloseResult::with_unknown_remains(Outcome::Lost(error)),
    }
}

/// The message that rolls back and restores what a rollback does not undo.
fn rewind(closing: Closing<'_>) -> String {
    // A test may have called `setseed`, which makes `random()` predictable for the rest of the
    // session (https://www.postgresql.org/docs/current/functions-math.html). The seed has to be
    // between -1 and 1.
    let (number, _) = Uuid::new_v4().as_u64_pair();
    let seed = f64::from(u32::try_from(number >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    message::rewind(seed, closing.version_num, closing.login)
}

/// Executes a message that ends with [`rewind`], and reads what that returns.
async fn execute_and_read(
    connection: &mut PgConnection,
    message: String,
    other_client: bool,
) -> Result<Remains, sqlx::Error> {
    Remains::read(&last_row(connection, message).await?, other_client)
}

/// Whether the planner's inputs are the same as in the template. If they are not, the lane needs a
/// reset or a new copy.
pub(crate) async fn estimates_are_unchanged(
    connection: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    match last_row(connection, message::estimates_seen()).await {
        Ok(row) => Ok(!flag(&row, 0)?),
        Err(error) if sql_error::is_server_gone(&error) => Err(error),
        // Inputs that cannot be read count as changed: a new copy of the lane is always correct.
        Err(error) => {
            tracing::debug!(%error, "a lane has to be copied again");
            Ok(false)
        }
    }
}

/// Commits the guarded transaction, which is otherwise rolled back.
///
/// # Errors
/// 25P02: a statement of the test has failed, so nothing can be committed.
pub(crate) async fn commit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    execute(connection, message::commit()).await
}
