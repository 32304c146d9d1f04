//! A database that holds the state of a lane: the copy behind a fork or a checkpoint.
//!
//! It is a lane with a number of its own, so its lane lock protects it as it protects every lane:
//!
//! ```text
//!  locked --- UsedWhole is recorded ---> CREATE DATABASE ---> in use ---> dropped, Unknown
//!                                  |                             |
//!                                  +------ killed --- lock is released by the system ---+
//!                                                                                       v
//!   swept by the next process that looks for a lane, by the next holder of the number, or by a
//!   clean-up
//! ```
//!
//! A copy never equals the template, so it never becomes an ordinary lane.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::lane_use::{LaneUse, STATE_COPY_NUMBERS};
use super::pool::LanePool;
use crate::clean_up;
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{LaneLock, LaneState};
use crate::names::DatabaseName;
use crate::wait::Polling;

/// How long the server may take to end the session of a killed process.
const ORPHAN_END_TIMEOUT: Duration = Duration::from_secs(10);

/// A locked number, and the name of the database that belongs to it.
pub(super) struct StateCopy {
    pub(super) lanes: LanePool,
    pub(super) database: DatabaseName,
    pub(super) lock: LaneLock,
    pub(super) held_count: Arc<()>,
}

impl StateCopy {
    /// Drops the database and releases the lock.
    ///
    /// # Errors
    /// The server is gone, or refuses to drop the database. Then the mark stays, and the next
    /// process drops it.
    pub(super) async fn discard(self) -> Result<()> {
        let setting = self.lanes.setting();
        let admin = self.lanes.admin_connection().take(&setting.server).await;
        let failed = |error| {
            self.lanes
                .diagnose("connecting to drop a copied database", error)
        };
        let mut admin = admin.map_err(failed)?;
        clean_up::drop_database(&setting.server, &mut admin, &self.database).await?;
        self.lanes.admin_connection().put_back(admin);
        self.lock.mark_unknown()
    }
}

impl LanePool {
    /// Locks the lowest free number, and records that a database with this number is in use. The
    /// database does not exist yet.
    ///
    /// # Errors
    /// The server is gone, or all numbers are taken.
    pub(super) async fn lock_state_copy(&self, kind: ErrorKind) -> Result<StateCopy> {
        let fingerprint = &self.setting().fingerprint;
        for number in STATE_COPY_NUMBERS {
            let Some(lock) = self.lane_locks().try_lock(number).await? else {
                continue;
            };
            self.drop_left_copy(&lock).await?;
            let database = DatabaseName::new_lane(fingerprint, number);
            // Before the database exists. A killed process leaves the mark, and the next one sees
            // that there may be something to drop.
            lock.mark(LaneUse::Fork.state_in_use(), 0, &database)?;
            return Ok(StateCopy {
                lanes: self.clone(),
                database,
                lock,
                held_count: self.held_count(),
            });
        }
        let message = format!(
            "at most {} forks and checkpoints of one template can exist at once, and all do",
            STATE_COPY_NUMBERS.len()
        );
        let help = "close or drop some of them before making another one";
        Err(Error::new(kind, message).with_help(help))
    }

    /// Drops the copies that killed processes have left. `existing` are the numbers of all lanes.
    ///
    /// # Errors
    /// The server is gone, or refuses to drop a database.
    pub(super) async fn sweep_state_copies(&self, existing: &[usize]) -> Result<()> {
        for number in existing {
            // Without the lock, a living process has the copy.
            if STATE_COPY_NUMBERS.contains(number)
                && let Some(lock) = self.lane_locks().try_lock(*number).await?
            {
                self.drop_left_copy(&lock).await?;
            }
        }
        Ok(())
    }

    /// Drops what the last holder of a locked number has left, if anything.
    async fn drop_left_copy(&self, lock: &LaneLock) -> Result<()> {
        if lock.state() == Some(LaneState::Unknown) {
            return Ok(());
        }
        let (lanes, number) = (self.clone(), lock.number());
        let recorded = lock.database(&self.setting().fingerprint).await?;
        let dropping = async move {
            let setting = lanes.setting();
            let admin = lanes.admin_connection().take(&setting.server).await;
            let failed = |error| lanes.diagnose("connecting to drop a copied database", error);
            let mut admin = admin.map_err(failed)?;
            if let Some(database) = recorded {
                lanes.end_creation(&mut admin, &database).await?;
            }
            let (server, fingerprint) = (&setting.server, &setting.fingerprint);
            clean_up::drop_lane(server, &mut admin, fingerprint, number).await?;
            lanes.admin_connection().put_back(admin);
            Ok(())
        };
        self.in_background(dropping).await?;
        lock.mark_unknown()
    }

    /// Ends a `CREATE DATABASE` that outlives the process that sent it: the server does not notice
    /// the loss of a client while it copies files. Without this, the database would appear after
    /// the search for it.
    async fn end_creation(&self, admin: &mut PgConnection, database: &DatabaseName) -> Result<()> {
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                   where pid <> pg_backend_pid() and starts_with(query, $1) and state = 'active' \
                   and pg_has_role(usesysid, 'member')";
        let step = "ending an abandoned copy";
        let mut polling = Polling::new(step, ORPHAN_END_TIMEOUT);
        loop {
            let left: i64 = sqlx::query_scalar(end)
                .bind(creation(database))
                .fetch_one(&mut *admin)
                .await
                .map_err(|error| self.diagnose(step, error))?;
            if left == 0 {
                return Ok(());
            }
            polling.pause(format!("{left} sessions are left")).await?;
        }
    }
}

/// The beginning of the statement that creates the database.
pub(super) fn creation(database: &DatabaseName) -> String {
    format!("create database {database} ")
}
