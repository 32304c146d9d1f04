//! A state of a database to which the database can return.
//!
//! ```text
//!  checkpoint:  the database --- copy ---> lane number of its own, no session ever
//!  rewind_to:   checkpoint --- copy ---> new name
//!               the database is dropped, with its sessions
//!               new name --- ALTER DATABASE .. RENAME ---> the database's name
//! ```

use std::fmt;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::lane_version::LaneVersion;
use super::state_copy::StateCopy;
use super::state_source::{CopyPurpose, StateSource, copy_turn};
use crate::catalog::DatabaseProperties;
use crate::clean_up;
use crate::error::{Error, ErrorKind, Result};
use crate::names::DatabaseName;
use crate::sql_error;
use crate::template::{self, CopyVersions};
use crate::wait::Polling;

/// How long the server may take to end ebbtide's own session on a new copy.
const RENAME_TIMEOUT: Duration = Duration::from_secs(10);

/// The state of a [`Database`](crate::Database) at one moment, from
/// [`Database::checkpoint`](crate::Database::checkpoint).
///
/// [`Database::rewind_to`](crate::Database::rewind_to) returns the database to this state, any
/// number of times. A database can have several checkpoints. Each is a copy of the database and
/// takes as much space.
///
/// # Cleanup
/// When the value is dropped, ebbtide drops the copy in the background. If the process ends before,
/// the next process that uses the same server and migrations drops it.
#[must_use = "the checkpoint is lost when this is dropped"]
pub struct Checkpoint {
    /// `None` once the value is dropped.
    copy: Option<StateCopy>,
    /// What the server stores outside the database.
    properties: DatabaseProperties,
    /// The version of the migrations; `None` for that of the template.
    versions: Option<Box<dyn CopyVersions>>,
    /// The version of the database that the checkpoint belongs to, which identifies that database.
    source: LaneVersion,
    source_name: DatabaseName,
}

impl StateSource {
    /// Makes a checkpoint. The future runs on the background runtime.
    pub(super) async fn checkpoint(self) -> Result<Checkpoint> {
        let held = self.version.hold().await;
        let _gate = self.gate.enter(CopyPurpose::Checkpoint).await?;
        let copy = self.lanes.lock_state_copy(ErrorKind::Checkpoint).await?;
        // Objects keep the name of the source, which a rewound database has again.
        let copied = self
            .copy_to(&copy, &self.database, CopyPurpose::Checkpoint)
            .await;
        let properties = match copied {
            Ok(properties) => properties,
            Err(error) => {
                // The first error is the one to report. What stays is marked.
                let _ = copy.discard().await;
                return Err(error);
            }
        };
        Ok(Checkpoint {
            copy: Some(copy),
            properties,
            versions: held.for_copy(&self.database),
            source: self.version.clone(),
            source_name: self.database.clone(),
        })
    }

    /// What a rewinding needs of the checkpoint, so that the checkpoint may be dropped meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`]: it belongs to another database.
    pub(super) fn rewinding(self, to: &Checkpoint) -> Result<Rewinding> {
        if !self.version.is_same_lane(&to.source) {
            let message = format!(
                "a database must return to a checkpoint of its own, but this one is of the \
                 database {} and not of {}",
                to.source_name.as_str(),
                self.database.as_str()
            );
            return Err(Error::new(ErrorKind::Checkpoint, message).with_help(
                "make the checkpoint with `checkpoint()` of the database that returns to it; to \
                 work on the state of another database, call its `fork()`",
            ));
        }
        let copy = to.copy.as_ref().expect("only a drop takes the copy");
        Ok(Rewinding {
            checkpoint: copy.database.clone(),
            properties: to.properties.clone(),
            versions: to
                .versions
                .as_ref()
                .map(|versions| versions.of_copy(self.database.clone())),
            source: self,
        })
    }
}

/// A database on its way back to a checkpoint.
pub(super) struct Rewinding {
    source: StateSource,
    checkpoint: DatabaseName,
    properties: DatabaseProperties,
    versions: Option<Box<dyn CopyVersions>>,
}

impl Rewinding {
    /// Replaces the database by a copy of the checkpoint. The future runs on the background
    /// runtime to its end, and the lane is marked as unknown.
    #[tracing::instrument(name = "database.rewind", level = "debug", skip_all)]
    pub(super) async fn run(self) -> Result<()> {
        let mut held = self.source.version.hold().await;
        let _gate = self.source.gate.enter(CopyPurpose::Checkpoint).await?;
        let _turn = copy_turn().await;
        let (lanes, database) = (&self.source.lanes, &self.source.database);
        let setting = lanes.setting();
        let server = &setting.server;
        let step = "returning to a checkpoint";
        let failed = |error| lanes.diagnose(step, error);
        drop(self.source.sessions.take_lane());
        self.source.sessions.drop_idle();
        let admin = lanes.admin_connection().take(server).await;
        let mut admin = admin.map_err(failed)?;
        // A name of the same lane: if this process is killed, its next holder drops both.
        let number = database
            .lane_number()
            .expect("a lane's name has its number");
        let fresh = DatabaseName::new_lane(&setting.fingerprint, number);
        let created = lanes
            .create_closed(&mut admin, &fresh, &self.checkpoint)
            .await;
        created.map_err(failed)?;
        let properties = &self.properties;
        let completed =
            template::complete_state(server, &mut admin, properties, &fresh, database).await;
        let dropped = match completed {
            Ok(()) => clean_up::drop_database(server, &mut admin, database).await,
            Err(error) => Err(error),
        };
        if let Err(error) = dropped {
            // The database is as it was. If this drop fails, the lane's next holder drops the copy.
            let _ = clean_up::drop_database(server, &mut admin, &fresh).await;
            return Err(server.diagnose(error));
        }
        if let Err(cause) = rename(&mut admin, &fresh, database).await {
            return Err(half_done(database, &fresh, server.diagnose(cause)));
        }
        held.return_to(self.versions);
        lanes.admin_connection().put_back(admin);
        Ok(())
    }
}

/// Gives the copy the name of the dropped database.
async fn rename(admin: &mut PgConnection, from: &DatabaseName, to: &DatabaseName) -> Result<()> {
    let step = "renaming the copy of a checkpoint";
    let mut polling = Polling::new(step, RENAME_TIMEOUT);
    loop {
        let rename = format!("alter database {from} rename to {to}");
        match sqlx::raw_sql(AssertSqlSafe(rename))
            .execute(&mut *admin)
            .await
        {
            Ok(_) => return Ok(()),
            // The session that completed the copy takes a moment to end.
            Err(error) if sql_error::is_object_in_use(&error) => polling.pause(error).await?,
            Err(error) => return Err(sql_error::failed(step, error)),
        }
    }
}

/// The error for a database that is gone while its new contents have another name.
fn half_done(database: &DatabaseName, fresh: &DatabaseName, cause: Error) -> Error {
    let message = format!(
        "the database {} was dropped to return to a checkpoint, and its copy could not take its \
         place",
        database.as_str()
    );
    let help = format!(
        "call `rewind_to` once more, or begin with another database; the copy is {}",
        fresh.as_str()
    );
    Error::new(ErrorKind::Checkpoint, message)
        .with_source(cause)
        .with_help(help)
}

impl Drop for Checkpoint {
    #[expect(clippy::print_stderr, reason = "nothing else can report the error")]
    fn drop(&mut self) {
        let Some(copy) = self.copy.take() else { return };
        let runtime = copy.lanes.setting().runtime.clone();
        let name = copy.database.as_str().to_owned();
        runtime.spawn(async move {
            if let Err(error) = copy.discard().await {
                eprintln!(
                    "ebbtide: the database {name} of a checkpoint could not be dropped: {error} \
                     (the next process drops it)"
                );
            }
        });
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("of", &self.source_name.as_str())
            .finish_non_exhaustive()
    }
}
