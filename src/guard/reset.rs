//! Undoes what a test has committed.
//!
//! ```text
//!  begin, read reset_state
//!    |-- drop_needed ------------------------------------------------> DropNeeded
//!    |-- refusal ----------------------------------------------------> CopyNeeded
//!    v
//!  read changed_tables; count the rows of those that are not counted
//!    |-- a table that cannot be restored, or a role that may not ----> CopyNeeded
//!    v
//!  empty and refill the tables, restore sequences and the planner's columns, commit ---> Equal
//! ```

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::exchange::{execute, flag, last_row, rows};
use super::message::reset::{self as message, ChangedTable};

/// What is left of a test that committed.
#[derive(Debug)]
pub(crate) enum ResetOutcome {
    /// Nothing: the lane equals the template.
    Equal,
    /// The lane must be copied again, for this reason.
    CopyNeeded(String),
    /// As `CopyNeeded`, and the database must be dropped at once.
    DropNeeded,
}

/// Makes the lane equal to the template and, with a `holder`, marks it as clean in its own table.
/// The caller has ended all other sessions on the database, at the latest with `before`, which the
/// first message begins with.
///
/// # Errors
/// The server refuses a statement, or is gone. Then the lane is not known to be equal.
pub(crate) async fn reset(
    connection: &mut PgConnection,
    before: &str,
    holder: Option<&str>,
) -> Result<ResetOutcome, sqlx::Error> {
    let outcome = reset_inside(connection, before, holder).await;
    if !matches!(outcome, Ok(ResetOutcome::Equal)) {
        // The caller reports the first error.
        let _ = execute(connection, "rollback".to_owned()).await;
    }
    outcome
}

async fn reset_inside(
    connection: &mut PgConnection,
    before: &str,
    holder: Option<&str>,
) -> Result<ResetOutcome, sqlx::Error> {
    let state = last_row(connection, message::begin(before)).await?;
    if flag(&state, 0)? {
        return Ok(ResetOutcome::DropNeeded);
    }
    if let Some(refusal) = text(&state, 1)? {
        return Ok(ResetOutcome::CopyNeeded(refusal.to_owned()));
    }
    let oldest: &str = state.try_get_unchecked(2)?;
    let is_superuser = flag(&state, 3)?;
    let mut changed = Vec::new();
    for table in rows(connection, message::changed_tables(oldest)).await? {
        let name: &str = table.try_get_unchecked(0)?;
        let refill = text(&table, 1)?;
        if let Some(source) = text(&table, 2)? {
            let counting = message::count_rows(source, oldest, refill.is_some());
            let count = last_row(connection, counting).await?;
            if text(&count, 0)? == text(&table, 3)? {
                continue;
            }
        }
        let Some(refill) = refill else {
            let why = format!("a new copy is quicker than restoring {name}");
            return Ok(ResetOutcome::CopyNeeded(why));
        };
        changed.push(ChangedTable {
            name: name.to_owned(),
            refill: refill.to_owned(),
        });
    }
    if !changed.is_empty() && !is_superuser {
        let why = "only a superuser may restore the columns of pg_class";
        return Ok(ResetOutcome::CopyNeeded(why.to_owned()));
    }
    execute(connection, message::restore(&changed, is_superuser, holder)).await?;
    Ok(ResetOutcome::Equal)
}

fn text(row: &PgRow, column: usize) -> Result<Option<&str>, sqlx::Error> {
    row.try_get_unchecked(column)
}
