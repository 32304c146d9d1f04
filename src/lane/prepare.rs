//! Makes a lane's database equal to the template: as it was found, reset, or copied anew.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use super::leased::Lane;
use super::pool::{Freshness, LanePool, MAX_LANES};
use super::{guard, reset};
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{LaneLock, LaneState};
use crate::names::DatabaseName;
use crate::template::{self, Template};
use crate::wait::Patience;
use crate::{clean_up, sql_error};

/// How long a session that was told to end may take.
const SESSION_END_TIMEOUT: Duration = Duration::from_secs(10);

/// A lane's database that equals the template.
pub(super) struct Ready {
    pub(super) database: DatabaseName,
    /// Tests that have used it since it was copied, as far as that is known.
    pub(super) uses: u32,
    /// The session that was needed to make it equal, if one was, and the database's name when it began.
    pub(super) connection: Option<PgConnection>,
    pub(super) session_database: DatabaseName,
}

impl LanePool {
    /// Makes a lane equal to the template: as it is, reset, or copied again.
    pub(super) async fn equal_to_template(&self, lease: &LaneLock, test: &str) -> Result<Ready> {
        match self.found(lease, test).await? {
            Some(ready) => Ok(ready),
            None => self.copied(lease, test).await,
        }
    }

    /// Copies a lane whose database another client has dropped.
    pub(super) async fn restore_missing(&self, lane: &mut Lane, test: &str) -> Result<()> {
        lane.lease.forget()?;
        let ready = self.equal_to_template(&lane.lease, test).await?;
        lane.database = ready.database;
        lane.uses = ready.uses;
        Ok(())
    }

    /// The lane as it is, or reset, if it then equals the template.
    async fn found(&self, lease: &LaneLock, test: &str) -> Result<Option<Ready>> {
        let (state, uses) = (lease.state(), lease.uses());
        if state == Some(LaneState::Unknown) {
            return Ok(None);
        }
        let Some(mut database) = lease.database(&self.setting().fingerprint).await? else {
            return Ok(None);
        };
        if state != Some(LaneState::Lent) {
            lease.forget()?;
        }
        let mut connection = match self.connect(&database, test).await {
            Err(error) if is_missing(&error) => return Ok(None),
            connected => connected.map_err(|error| self.diagnose("connecting to a lane", error))?,
        };
        if state == Some(LaneState::Lent) {
            let session_database = database.clone();
            let reset = self.reset(lease, connection, &mut database).await?;
            return Ok(reset.map(|connection| Ready {
                database,
                uses,
                connection: Some(connection),
                session_database,
            }));
        }
        if self.enter(lease, &mut connection).await? {
            let session_database = database.clone();
            return Ok(Some(Ready {
                database,
                uses,
                connection: Some(connection),
                session_database,
            }));
        }
        // Dropping the database ends it otherwise.
        let _ = connection.close().await;
        Ok(None)
    }

    /// Copies the lane again. A lane that records its holder itself records this process.
    async fn copied(&self, lease: &LaneLock, test: &str) -> Result<Ready> {
        let database = self.copy(lease.number()).await?;
        lease.mark(LaneState::Equal, 0, &database)?;
        if lease.holder().is_none() {
            return Ok(Ready {
                session_database: database.clone(),
                database,
                uses: 0,
                connection: None,
            });
        }
        let mut connection = self.connect_to_lane(&database, test).await?;
        if self.enter(lease, &mut connection).await? {
            let session_database = database.clone();
            return Ok(Ready {
                database,
                uses: 0,
                connection: Some(connection),
                session_database,
            });
        }
        Err(Error::new(
            ErrorKind::ServerLost,
            format!("another process uses the new copy {database}"),
        ))
    }

    /// Whether the lane may be used as it is. Where it says so itself, it learns its holder.
    async fn enter(&self, lease: &LaneLock, connection: &mut PgConnection) -> Result<bool> {
        match lease.holder() {
            None => Ok(true),
            Some(holder) => guard::take(connection, holder)
                .await
                .map_err(|error| self.diagnose("entering a lane", error)),
        }
    }

    /// How every session of a test begins: a statement outside the guarded transaction cannot write.
    pub(super) fn guarded_options(&self, database: &DatabaseName, test: &str) -> PgConnectOptions {
        let options = self
            .setting()
            .conn
            .options(database.as_str())
            .application_name(test);
        let options = options.options([
            ("default_transaction_read_only", "on"),
            // The transaction is ours and lasts as long as the test: a timeout for the application's own must not end it.
            ("idle_in_transaction_session_timeout", "0"),
        ]);
        // An unknown setting in a start-up message is an error.
        if self.setting().server.version_num >= 170_000 {
            options.options([("transaction_timeout", "0")])
        } else {
            options
        }
    }

    /// A connection in place of one that has ended.
    pub(super) async fn connect_again(
        &self,
        database: &DatabaseName,
        test: &str,
    ) -> Result<PgConnection> {
        let (pool, database, test) = (self.clone(), database.clone(), test.to_owned());
        self.in_background(async move { pool.connect_to_lane(&database, &test).await })
            .await
    }

    pub(super) async fn connect_to_lane(
        &self,
        database: &DatabaseName,
        test: &str,
    ) -> Result<PgConnection> {
        self.connect(database, test)
            .await
            .map_err(|error| self.diagnose("connecting to a lane", error))
    }

    pub(super) async fn connect(
        &self,
        database: &DatabaseName,
        test: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.guarded_options(database, test)).await
    }

    /// Makes a new copy of the template for a lane, under a new name, in place of the databases that it had.
    #[tracing::instrument(name = "lane.copy", level = "debug", skip(self))]
    pub(super) async fn copy(&self, number: usize) -> Result<DatabaseName> {
        let template = self.template(Freshness::Once).await?;
        if let Some(database) = self.copy_of(&template, number).await? {
            return Ok(database);
        }
        // Another process has dropped the template as an old one that was not in use.
        let template = self.template(Freshness::Again).await?;
        self.copy_of(&template, number).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::ServerLost,
                format!(
                    "the template {} was dropped while it was in use",
                    template.name
                ),
            )
        })
    }

    /// None when the template is gone.
    async fn copy_of(&self, template: &Template, number: usize) -> Result<Option<DatabaseName>> {
        let setting = self.setting();
        let (server, fingerprint) = (&setting.server, &setting.fingerprint);
        let admin = self.admin_connection().take(server).await;
        let mut admin =
            admin.map_err(|error| self.diagnose("connecting to copy the template", error))?;
        clean_up::make_room(server, &mut admin, fingerprint, MAX_LANES).await?;
        clean_up::drop_lane(server, &mut admin, fingerprint, number).await?;
        let database = DatabaseName::new_lane(fingerprint, number);
        // Until a copy has all that the server keeps about its template, no session gets in. A copy that its maker did
        // not finish is dropped by the next one.
        let properties = &template.properties;
        let closed = if properties.is_empty() {
            ""
        } else {
            " allow_connections false"
        };
        let create = format!(
            "create database {database} template {}{}{closed}",
            template.name,
            server.copy_strategy()
        );
        match sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut admin)
            .await
        {
            Ok(_) => {}
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(self.diagnose("copying the template", error)),
        }
        if !properties.is_empty() {
            let completed = template::complete(server, &mut admin, properties, &database).await;
            completed.map_err(|error| server.diagnose(error))?;
        }
        self.admin_connection().put_back(admin);
        Ok(Some(database))
    }

    /// Makes the lane equal to the template on its own session, after a test that nobody else could reach: the rows that
    /// were rolled back do not stay in its files. Returns whether that is proved.
    pub(super) async fn empty_files(&self, lane: &mut Lane) -> bool {
        // Without a superuser's rights a table that has changed means a new copy.
        if self.setting().server.outlives_us() {
            return false;
        }
        let Some(connection) = &mut lane.connection else {
            return false;
        };
        match reset::reset(connection.get(), None).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "a lane has to be copied again");
                false
            }
        }
    }

    /// Gives the database a new name, so that no URL of an earlier test leads there, ends every other session on it, and
    /// undoes what they committed. None if it could not be proved that the lane equals the template again.
    ///
    /// The new name comes first: a client that connects again and again would get in between the last look at the sessions
    /// and the new name.
    ///
    /// # Errors
    /// The server is gone.
    #[tracing::instrument(name = "lane.reset", level = "debug", skip_all)]
    pub(super) async fn reset(
        &self,
        lease: &LaneLock,
        mut connection: PgConnection,
        database: &mut DatabaseName,
    ) -> Result<Option<PgConnection>> {
        let renamed = DatabaseName::new_lane(&self.setting().fingerprint, lease.number());
        let step = "resetting a lane";
        let result = if self.setting().server.outlives_us() {
            // Without a superuser's rights only ALTER DATABASE is left, which wants no session on the database, and most
            // tables that have changed mean a new copy, which needs no name. What a client does until the new name is
            // there, the second reset finds.
            if let Err(error) = self.reset_now(&mut connection, None).await {
                return self.not_reset(lease, connection, step, error).await;
            }
            // Closing it is a courtesy: its end is awaited.
            let _ = connection.close().await;
            self.rename(database, &renamed).await?;
            *database = renamed;
            connection = self.connect_to_lane(database, step).await?;
            self.reset_now(&mut connection, lease.holder()).await
        } else {
            match reset::rename_and_reset(&mut connection, &renamed, lease.holder()).await {
                Ok(is_reset) => {
                    *database = renamed;
                    if is_reset {
                        Ok(())
                    } else {
                        self.reset_now(&mut connection, lease.holder()).await
                    }
                }
                Err(error) => Err(error),
            }
        };
        match result {
            Ok(()) => Ok(Some(connection)),
            Err(error) => self.not_reset(lease, connection, step, error).await,
        }
    }

    async fn reset_now(
        &self,
        connection: &mut PgConnection,
        holder: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        self.end_others(connection).await?;
        reset::reset(connection, holder).await
    }

    /// The lane has to be copied again, unless the server is gone.
    async fn not_reset(
        &self,
        lease: &LaneLock,
        connection: PgConnection,
        step: &str,
        error: sqlx::Error,
    ) -> Result<Option<PgConnection>> {
        if sql_error::is_server_gone(&error) {
            return Err(self.diagnose(step, error));
        }
        tracing::debug!(%error, "a lane has to be copied again");
        if sql_error::code(&error) == Some("EB002") {
            drop(connection);
            self.drop_now(lease.number()).await?;
        }
        Ok(None)
    }

    /// Drops a lane's databases with what the server holds of them, such as replication slots.
    async fn drop_now(&self, number: usize) -> Result<()> {
        let setting = self.setting();
        let admin = self.admin_connection().take(&setting.server).await;
        let mut admin = admin.map_err(|error| self.diagnose("connecting to drop a lane", error))?;
        clean_up::drop_lane(&setting.server, &mut admin, &setting.fingerprint, number).await?;
        self.admin_connection().put_back(admin);
        Ok(())
    }

    async fn rename(&self, from: &DatabaseName, to: &DatabaseName) -> Result<()> {
        let step = "renaming a lane";
        let rename = format!("alter database {from} rename to {to}");
        let mut admin = self.setting().server.admin().await?;
        let mut patience = Patience::new(step, SESSION_END_TIMEOUT);
        loop {
            match sqlx::raw_sql(AssertSqlSafe(rename.clone()))
                .execute(&mut admin)
                .await
            {
                Ok(_) => break,
                // object_in_use: a closed session takes a moment to go, and a client of the test may connect again.
                Err(error) if sql_error::code(&error) == Some("55006") => {
                    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
                               where datname = $1 and backend_type = 'client backend' and pg_has_role(usesysid, 'member')";
                    let ended = sqlx::query(end)
                        .bind(from.as_str())
                        .execute(&mut admin)
                        .await;
                    ended.map_err(|error| self.diagnose(step, error))?;
                    patience.pause(error).await?;
                }
                Err(error) => return Err(self.diagnose(step, error)),
            }
        }
        // The server ends the session in any case.
        let _ = admin.close().await;
        Ok(())
    }

    /// Ends every other session on the lane, and waits until the server has forgotten them.
    pub(super) async fn end_others(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let mut patience = Patience::new("ending a test's sessions", SESSION_END_TIMEOUT);
        loop {
            let left = reset::end_others(connection).await?;
            if left == "0" {
                return Ok(());
            }
            if let Err(error) = patience.pause(format!("{left} are left")).await {
                return Err(sqlx::Error::Configuration(Box::new(error)));
            }
        }
    }
}

/// Whether there is no such database, or only the rest of one: somebody dropped it behind our back, or tried to.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    // invalid_catalog_name, object_not_in_prerequisite_state
    matches!(sql_error::code(error), Some("3D000" | "55000"))
}
