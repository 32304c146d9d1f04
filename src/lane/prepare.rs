//! Makes the database of a locked lane equal to the template: used as it is, reset (see [`reset`]),
//! or copied again.
//!
//! [`reset`]: super::reset
//!
//! ```text
//!  state of the lane            try_reuse                                   otherwise
//!  -----------------            ---------                                   ---------
//!  Equal                        connect                                     copy_and_claim
//!  UsedWhole                    connect, reset, proved equal                copy_and_claim
//!  Unknown, or no database      never                                       copy_and_claim
//!  none: recorded in the lane   connect, try_claim finds it clean           copy_and_claim
//! ```
//!
//! On an external server the lane's own table `_ebbtide.lane` records whether the lane is clean,
//! and which process holds it. Several machines share these lanes, and no file is visible to all
//! machines. On other servers the lane file records it.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::lane_use::{LaneUse, MAX_LANES};
use super::leased::Lane;
use super::login::Login;
use super::pool::LanePool;
use super::prepared_lane::PreparedLane;
use super::state_copy;
use super::wear::MAX_USES;
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{LaneLock, LaneState};
use crate::names::DatabaseName;
use crate::template::{self, Freshness, Template};
use crate::{clean_up, guard, sql_error};

impl LanePool {
    /// Makes a lane equal to the template, with a copy only if the lane cannot be proved equal
    /// without one.
    pub(super) async fn make_equal_to_template(
        &self,
        lock: &LaneLock,
        test: &str,
        lane_use: LaneUse,
    ) -> Result<PreparedLane> {
        // The end of a `Database` resets the lane in the session that prepared it.
        let login = match lane_use {
            LaneUse::Whole | LaneUse::Fork => self.reset_login(),
            LaneUse::Transaction | LaneUse::Sandbox | LaneUse::Relayed => Login::Test,
        };
        match self.try_reuse(lock, test, login).await? {
            Some(prepared) => Ok(prepared),
            None => self.copy_and_claim(lock, test, login).await,
        }
    }

    /// Copies a lane again when connecting to it has shown that another client dropped its
    /// database.
    pub(super) async fn restore_missing(
        &self,
        lane: &mut Lane,
        lane_use: LaneUse,
        test: &str,
    ) -> Result<()> {
        lane.lock.mark_unknown()?;
        let prepared = self
            .make_equal_to_template(&lane.lock, test, lane_use)
            .await?;
        // The copy is marked `Equal`, the test is about to use it, and this process may be killed.
        lane.lock
            .mark(lane_use.state_in_use(), prepared.uses, &prepared.database)?;
        lane.database = prepared.database;
        lane.uses = prepared.uses;
        Ok(())
    }

    /// Returns the lane's existing database if it equals the template, as it is or after a reset.
    async fn try_reuse(
        &self,
        lock: &LaneLock,
        test: &str,
        login: Login,
    ) -> Result<Option<PreparedLane>> {
        let (state, uses) = (lock.state(), lock.uses());
        if state == Some(LaneState::Unknown) {
            return Ok(None);
        }
        let Some(mut database) = lock.database(&self.setting().fingerprint).await? else {
            return Ok(None);
        };
        // The order matters if this process is killed. A lane that is marked `Equal` becomes
        // `Unknown` before the first session connects, because the session may change it. A
        // `UsedWhole` lane keeps its mark during the reset, so an interrupted reset is repeated. If
        // the database has its new name already, the lane is copied instead.
        if state != Some(LaneState::UsedWhole) {
            lock.mark_unknown()?;
        }
        // Only an administrator may reset.
        let login = match state {
            Some(LaneState::UsedWhole) => self.reset_login(),
            _ => login,
        };
        let mut connection = match self.connect(&database, test, login).await {
            Ok(connection) => connection,
            Err(error) if is_database_missing(&error) => return Ok(None),
            Err(error) => self.connect_again(error, &database, test, login).await?,
        };
        if state == Some(LaneState::UsedWhole) {
            let session_database = database.clone();
            let reset = self.reset(lock, connection, &mut database).await?;
            return Ok(reset.map(|connection| PreparedLane {
                database,
                uses,
                connection: Some(connection),
                session_database,
                login,
            }));
        }
        if self.try_claim(lock, &mut connection).await? {
            let session_database = database.clone();
            return Ok(Some(PreparedLane {
                database,
                uses,
                connection: Some(connection),
                session_database,
                login,
            }));
        }
        // Should closing fail, DROP DATABASE WITH (FORCE) ends the session.
        let _ = connection.close().await;
        Ok(None)
    }

    /// Copies the lane again. A lane that records its holder in its own table records this process.
    async fn copy_and_claim(
        &self,
        lock: &LaneLock,
        test: &str,
        login: Login,
    ) -> Result<PreparedLane> {
        let database = self.copy(lock.number()).await?;
        // If this process is killed now, the next holder uses the copy.
        lock.mark(LaneState::Equal, 0, &database)?;
        if lock.holder().is_none() {
            return Ok(PreparedLane {
                session_database: database.clone(),
                database,
                uses: 0,
                connection: None,
                login,
            });
        }
        let mut connection = self.connect_to_lane(&database, test, login).await?;
        if self.try_claim(lock, &mut connection).await? {
            let session_database = database.clone();
            return Ok(PreparedLane {
                database,
                uses: 0,
                connection: Some(connection),
                session_database,
                login,
            });
        }
        // A copy is clean, so another process has claimed it. That process could lock the lane only
        // because the server has ended the session that held this process's lock.
        Err(Error::new(
            ErrorKind::ServerLost,
            format!("another process uses the new copy {database}"),
        ))
    }

    /// Whether the lane may be used as it is. On a server that several machines share, one UPDATE
    /// checks the lane's table and records this process as its holder.
    async fn try_claim(&self, lock: &LaneLock, connection: &mut PgConnection) -> Result<bool> {
        match lock.holder() {
            None => Ok(true),
            Some(holder) => guard::try_claim(connection, holder, MAX_USES)
                .await
                .map_err(|error| self.diagnose("entering a lane", error)),
        }
    }

    /// The options of every session of a test.
    pub(super) fn guarded_options(
        &self,
        database: &DatabaseName,
        test: &str,
        login: Login,
    ) -> PgConnectOptions {
        let setting = self.setting();
        let conn = match login {
            Login::Test => &setting.conn,
            Login::Administrator => &setting.server.conn,
        };
        conn.options(database.as_str())
            .application_name(test)
            .options(guard::start_settings(setting.server.version_num))
    }

    /// Opens a connection in place of one that has ended, on the background runtime.
    pub(super) async fn reconnect(
        &self,
        database: &DatabaseName,
        test: &str,
    ) -> Result<PgConnection> {
        let (pool, database, test) = (self.clone(), database.clone(), test.to_owned());
        let connecting = async move { pool.connect_to_lane(&database, &test, Login::Test).await };
        self.in_background(connecting).await
    }

    pub(super) async fn connect_to_lane(
        &self,
        database: &DatabaseName,
        test: &str,
        login: Login,
    ) -> Result<PgConnection> {
        match self.connect(database, test, login).await {
            Ok(connection) => Ok(connection),
            Err(error) => self.connect_again(error, database, test, login).await,
        }
    }

    pub(super) async fn connect(
        &self,
        database: &DatabaseName,
        test: &str,
        login: Login,
    ) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.guarded_options(database, test, login)).await
    }

    /// Replaces a lane's databases by a new copy of the template, under a new name.
    #[tracing::instrument(name = "lane.copy", level = "debug", skip(self))]
    pub(super) async fn copy(&self, number: usize) -> Result<DatabaseName> {
        let template = self.template(Freshness::Cached).await?;
        self.note_bypass_of(&template);
        if let Some(database) = self.try_copy(&template, number).await? {
            return Ok(database);
        }
        // Another process has dropped the template: it drops the oldest templates of which no lane
        // is locked. This process finds or builds the template again, and tries once more.
        let template = self.template(Freshness::Rechecked).await?;
        self.try_copy(&template, number).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::ServerLost,
                format!(
                    "the template {} was dropped while it was in use",
                    template.name
                ),
            )
        })
    }

    /// Drops the lane's databases and copies the template. Returns `None` if the template does not
    /// exist any more.
    async fn try_copy(&self, template: &Template, number: usize) -> Result<Option<DatabaseName>> {
        let setting = self.setting();
        let (server, fingerprint) = (&setting.server, &setting.fingerprint);
        let admin = self.admin_connection().take(server).await;
        let mut admin =
            admin.map_err(|error| self.diagnose("connecting to copy the template", error))?;
        clean_up::make_room(server, &mut admin, fingerprint, MAX_LANES).await?;
        // The old copy is dropped first, so that the disk never has to hold both. If this process
        // is killed between the two, the lane has no database, and the next holder copies it.
        clean_up::drop_lane(server, &mut admin, fingerprint, number).await?;
        self.make_memory_available(&mut admin, &template.name)
            .await?;
        // A new random name: a client that still has a URL of an earlier test cannot reach it.
        let database = DatabaseName::new_lane(fingerprint, number);
        // CREATE DATABASE does not copy what the server keeps about a database outside of it, such
        // as settings and privileges. Until the copy has these, it refuses connections. If this
        // process is killed before, the next holder of the lane drops the unfinished copy.
        let properties = &template.properties;
        let created = if properties.is_empty() {
            self.create(&mut admin, &database, &template.name, "").await
        } else {
            self.create_closed(&mut admin, &database, &template.name)
                .await
        };
        match created {
            Ok(()) => {}
            Err(error) if is_database_missing(&error) => return Ok(None),
            Err(error) => return Err(self.diagnose("copying the template", error)),
        }
        if !properties.is_empty() {
            let completed = template::complete(server, &mut admin, properties, &database).await;
            completed.map_err(|error| server.diagnose(error))?;
        }
        self.admin_connection().put_back(admin);
        Ok(Some(database))
    }

    /// Drops the unused lanes of other templates if there is too little memory for a copy.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfSpace`]: there is still too little. It can go away if other lanes exist.
    async fn make_memory_available(
        &self,
        admin: &mut PgConnection,
        template: &DatabaseName,
    ) -> Result<()> {
        let (server, fingerprint) = (&self.setting().server, &self.setting().fingerprint);
        let prefix = DatabaseName::all_lanes_prefix(fingerprint);
        let checked = server.check_memory_for_copy(admin, template, &prefix);
        match checked.await {
            Err(error) if error.kind() == ErrorKind::OutOfSpace => {
                clean_up::make_room(server, admin, fingerprint, 0).await?;
                let checked = server.check_memory_for_copy(admin, template, &prefix);
                checked.await
            }
            other => other,
        }
    }

    /// Creates a database as a copy of another one. It accepts no connections yet.
    pub(super) async fn create_closed(
        &self,
        admin: &mut PgConnection,
        copy: &DatabaseName,
        source: &DatabaseName,
    ) -> Result<(), sqlx::Error> {
        self.create(admin, copy, source, " allow_connections false")
            .await
    }

    async fn create(
        &self,
        admin: &mut PgConnection,
        copy: &DatabaseName,
        source: &DatabaseName,
        options: &str,
    ) -> Result<(), sqlx::Error> {
        let create = format!("{}template {source}", state_copy::creation(copy));
        let server = &self.setting().server;
        server.copier.copy(admin, &create, options).await
    }
}

/// Whether the server reports that a database does not exist, or that only an unfinished copy or
/// the rest of an interrupted DROP DATABASE does.
pub(super) fn is_database_missing(error: &sqlx::Error) -> bool {
    // invalid_catalog_name, object_not_in_prerequisite_state
    matches!(sql_error::code(error), Some("3D000" | "55000"))
}
