//! Databases that tests keep, so that a person can inspect them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::in_use::LaneInUse;
use super::pool::LanePool;
use crate::error::{Error, ErrorKind, Result};
use crate::names::DatabaseName;
use crate::wait::Polling;
use crate::{clean_up, guard, sql_error};

/// A database that a test kept, so that a person can inspect it.
///
/// It exists for an hour, or for as long as `keep_for` specifies. It is deleted together with its
/// server. On an external server, the first process that uses ebbtide there after that time drops
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptDatabase {
    /// The database's name.
    pub name: String,
    /// A URL for `psql` and other clients. It contains the password, also in JSON.
    pub url: String,
    /// How long it exists from the moment at which it was kept. In JSON `expires_in_ms`, in
    /// milliseconds.
    #[serde(rename = "expires_in_ms", with = "crate::milliseconds")]
    pub expires_in: Duration,
}

impl fmt::Display for KeptDatabase {
    /// A command to paste into a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "psql '{}'", self.url)
    }
}

pub(super) const KEEP_STEP: &str = "keeping the test's database";

/// Commits the guarded transaction, which is otherwise rolled back.
pub(super) async fn commit(lanes: &LanePool, connection: &mut PgConnection) -> Result<()> {
    match guard::commit(connection).await {
        // in_failed_sql_transaction
        // (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        Err(error) if sql_error::code(&error) == Some("25P02") => Err(Error::new(
            ErrorKind::Database,
            "the test's database cannot be kept: a statement has failed, and PostgreSQL commits \
             nothing of a failed transaction",
        )
        .with_help(
            "to see what the test wrote before the failure, let it take an `ebbtide::Sandbox` or \
             an `ebbtide::Database`, or set the option `savepoints`",
        )),
        other => other.map_err(|error| lanes.diagnose(KEEP_STEP, error)),
    }
}

/// Turns the database of a lane, on which everything is committed, into a kept database.
///
/// The database gets another name, so no lane refers to it any more. The lane keeps its mark of
/// use, so its next holder makes a new copy.
pub(super) async fn keep(in_use: LaneInUse, connection: PgConnection) -> Result<KeptDatabase> {
    let LaneInUse { lanes, lane, .. } = in_use;
    // The renaming needs a session on another database, and no session on this one
    // (https://www.postgresql.org/docs/current/sql-alterdatabase.html).
    connection
        .close()
        .await
        .map_err(|error| lanes.diagnose(KEEP_STEP, error))?;
    let kept = DatabaseName::kept();
    let keep_for = lanes.setting().keep_for;
    let (pool, name) = (lanes.clone(), kept.clone());
    let renaming = async move {
        let mut admin = pool.setting().server.admin().await?;
        let mut polling = Polling::new(KEEP_STEP, Duration::from_secs(10));
        loop {
            match clean_up::keep(&mut admin, &lane.database, &name, keep_for).await {
                Ok(()) => return Ok(()),
                // A closed session takes a moment to end.
                Err(error) if sql_error::is_object_in_use(&error) => {
                    polling.pause(error).await?;
                }
                Err(error) => return Err(pool.diagnose(KEEP_STEP, error)),
            }
        }
    };
    // As a task, so that dropping this future does not interrupt the renaming.
    lanes.in_background(renaming).await?;
    // After the renaming, because only a kept database is a reason to keep the server running.
    let server = &lanes.setting().server;
    server.hold_for(keep_for).await?;
    Ok(KeptDatabase {
        name: kept.as_str().to_owned(),
        url: server.conn.url(kept.as_str()),
        expires_in: keep_for,
    })
}
