//! Makes a lane that tests have changed equal to the template without a copy.
//!
//! ```text
//!  own server:   rename, end sessions and reset, in one message ---> Equal, or why not
//!  external:     end sessions, reset ---> Equal: rename, end sessions, reset again
//!                                    +--> otherwise: a copy is needed, so no renaming
//! ```

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::leased::{Lane, LaneConnection};
use super::pool::LanePool;
use crate::error::Result;
use crate::guard::{self, CONDITION_FAILED, ResetOutcome, last_row};
use crate::lane_lock::LaneLock;
use crate::names::{DatabaseName, Literal};
use crate::wait::Polling;
use crate::{clean_up, sql_error};

/// How long a session may take to end after `pg_terminate_backend`.
const SESSION_END_TIMEOUT: Duration = Duration::from_secs(10);

impl LanePool {
    /// Resets the lane on its own session, so that dead rows of rolled back tests do not stay in
    /// its files. Returns whether the lane is proved equal to the template.
    ///
    /// Unlike [`reset`](Self::reset), this neither renames the database nor ends other sessions: no
    /// other client had a URL of it.
    pub(super) async fn empty_files(&self, lane: &mut Lane) -> bool {
        // Emptying tables in place requires a superuser, which the role on an external server may
        // not be. Its lanes are copied instead.
        if self.setting().server.outlives_us() {
            return false;
        }
        if lane.login != self.reset_login() {
            // Before the new session begins: the lane has a permit for one connection.
            lane.connection = None;
            let login = self.reset_login();
            let Ok(connection) = self.connect_to_lane(&lane.database, "ebbtide", login).await
            else {
                return false;
            };
            lane.connection = Some(LaneConnection::New(connection));
            lane.login = login;
        }
        let Some(connection) = &mut lane.connection else {
            return false;
        };
        match guard::reset(connection.get(), "", None).await {
            Ok(ResetOutcome::Equal) => true,
            other => {
                tracing::debug!(?other, "a lane has to be copied again");
                false
            }
        }
    }

    /// Renames the database, ends every other session on it, and undoes what tests committed.
    /// Returns `None` if the lane is not proved equal to the template.
    ///
    /// The new name makes the URLs of earlier tests useless. It comes first, because a client that
    /// keeps reconnecting could otherwise connect between the last check of the sessions and the
    /// renaming.
    ///
    /// # Errors
    /// The server is gone.
    #[tracing::instrument(name = "lane.reset", level = "debug", skip_all)]
    pub(super) async fn reset(
        &self,
        lock: &LaneLock,
        mut connection: PgConnection,
        database: &mut DatabaseName,
    ) -> Result<Option<PgConnection>> {
        let renamed = DatabaseName::new_lane(&self.setting().fingerprint, lock.number());
        let step = "resetting a lane";
        let result = if self.setting().server.outlives_us() {
            // Most lanes with changed tables need a new copy here, and then the renaming is not
            // needed. Without the holder, because only the reset below may mark the lane as clean.
            let first = self.end_others_and_reset(&mut connection, None).await;
            if !matches!(first, Ok(ResetOutcome::Equal)) {
                return self.after_reset(lock, connection, step, first).await;
            }
            // Here the role may lack a superuser's rights, and then only ALTER DATABASE can rename.
            // It refuses while a session is on the database, so this session closes. Should closing
            // fail, `rename` ends the session.
            let _ = connection.close().await;
            self.rename(database, &renamed).await?;
            *database = renamed;
            connection = self
                .connect_to_lane(database, step, self.reset_login())
                .await?;
            // This undoes what a client did until the new name took effect.
            self.end_others_and_reset(&mut connection, lock.holder())
                .await
        } else {
            match rename_and_reset(&mut connection, &renamed, lock.holder()).await {
                Err(error) if sql_error::code(&error) == Some(CONDITION_FAILED) => {
                    // A session has not ended yet, and the renaming is committed. If the test has
                    // replaced an object of the reset, this reset fails with the same error.
                    *database = renamed;
                    self.end_others_and_reset(&mut connection, lock.holder())
                        .await
                }
                other => {
                    *database = renamed;
                    other
                }
            }
        };
        self.after_reset(lock, connection, step, result).await
    }

    async fn end_others_and_reset(
        &self,
        connection: &mut PgConnection,
        holder: Option<&str>,
    ) -> Result<ResetOutcome, sqlx::Error> {
        self.end_others(connection).await?;
        guard::reset(connection, "", holder).await
    }

    /// Returns the session if the lane equals the template. Otherwise returns `None`, so that the
    /// lane is copied again, unless the server is gone.
    async fn after_reset(
        &self,
        lock: &LaneLock,
        connection: PgConnection,
        step: &str,
        result: Result<ResetOutcome, sqlx::Error>,
    ) -> Result<Option<PgConnection>> {
        match result {
            Ok(ResetOutcome::Equal) => return Ok(Some(connection)),
            Ok(ResetOutcome::CopyNeeded(why)) => {
                tracing::debug!(why, "a lane has to be copied again");
            }
            // Tests on other databases see what makes it needed, so the database is dropped at once
            // and not only by the next copy.
            Ok(ResetOutcome::DropNeeded) => {
                drop(connection);
                self.drop_databases(lock.number()).await?;
            }
            Err(error) if sql_error::is_server_gone(&error) => {
                return Err(self.diagnose(step, error));
            }
            Err(error) => tracing::debug!(%error, "a lane has to be copied again"),
        }
        Ok(None)
    }

    /// Drops a lane's databases together with what the server holds of them, such as replication
    /// slots.
    async fn drop_databases(&self, number: usize) -> Result<()> {
        let setting = self.setting();
        let admin = self.admin_connection().take(&setting.server).await;
        let mut admin = admin.map_err(|error| self.diagnose("connecting to drop a lane", error))?;
        clean_up::drop_lane(&setting.server, &mut admin, &setting.fingerprint, number).await?;
        self.admin_connection().put_back(admin);
        Ok(())
    }

    /// Renames a database from a session on another one. ALTER DATABASE fails while a session is on
    /// the database, so this ends all sessions and tries again until the timeout.
    async fn rename(&self, from: &DatabaseName, to: &DatabaseName) -> Result<()> {
        let step = "renaming a lane";
        let rename = format!("alter database {from} rename to {to}");
        let mut admin = self.setting().server.admin().await?;
        let mut polling = Polling::new(step, SESSION_END_TIMEOUT);
        loop {
            match sqlx::raw_sql(AssertSqlSafe(rename.clone()))
                .execute(&mut admin)
                .await
            {
                Ok(_) => break,
                // The closed session still ends, or a client has connected again.
                Err(error) if sql_error::is_object_in_use(&error) => {
                    // pg_terminate_backend raises an error for a session that this role may not end
                    // (https://www.postgresql.org/docs/current/functions-admin.html).
                    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
                               where datname = $1 and backend_type = 'client backend' \
                                   and pg_has_role(usesysid, 'member')";
                    let ended = sqlx::query(end)
                        .bind(from.as_str())
                        .execute(&mut admin)
                        .await;
                    ended.map_err(|error| self.diagnose(step, error))?;
                    polling.pause(error).await?;
                }
                Err(error) => return Err(self.diagnose(step, error)),
            }
        }
        // Should closing fail, the server ends the session when the socket closes.
        let _ = admin.close().await;
        Ok(())
    }

    /// Ends every other session on the lane, and waits until the server does not list them any
    /// more.
    pub(super) async fn end_others(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let mut polling = Polling::new("ending a test's sessions", SESSION_END_TIMEOUT);
        loop {
            let left = end_and_count_others(connection).await?;
            // pg_terminate_backend only sends a signal, so a session may exist for a moment longer.
            if left == "0" {
                return Ok(());
            }
            if let Err(error) = polling.pause(format!("{left} are left")).await {
                // An error without an SQLSTATE: `after_reset` answers it with a new copy.
                return Err(sqlx::Error::Configuration(Box::new(error)));
            }
        }
    }
}

/// Renames the database, ends the other sessions on it, and undoes what a test has committed.
///
/// # Errors
/// [`CONDITION_FAILED`]: another session has not ended yet, and only
/// the renaming has happened; or the test has replaced an object of the reset.
async fn rename_and_reset(
    connection: &mut PgConnection,
    name: &DatabaseName,
    holder: Option<&str>,
) -> Result<ResetOutcome, sqlx::Error> {
    // ALTER DATABASE cannot rename the current database
    // (https://www.postgresql.org/docs/current/sql-alterdatabase.html). A superuser's UPDATE can.
    // That is safe, because sessions refer to their database by identifier.
    let rename = format!(
        "begin read write; set local synchronous_commit = off; \
         update pg_database set datname = {} where datname = current_database(); commit; \
         begin; select 1 / ({END_AND_COUNT_OTHERS} = 0)::int; commit; ",
        Literal(name.as_str())
    );
    guard::reset(connection, &rename, holder).await
}

/// An expression that ends the other sessions on the database and counts those that still exist.
///
/// A starting session is not listed yet, but holds a lock on the database (`InitPostgres` in
/// PostgreSQL's `postinit.c`). So these locks are counted, too. The functions are those below the
/// views `pg_stat_activity` and `pg_locks`; the first view joins further tables.
const END_AND_COUNT_OTHERS: &str = "(select \
         (select count(pg_terminate_backend(a.pid)) from pg_stat_get_activity(null) a \
             where a.datid = d.oid and a.pid <> pg_backend_pid() \
                 and a.backend_type = 'client backend') \
         + (select count(*) from pg_lock_status() l where l.locktype = 'object' \
             and l.classid = 'pg_database'::regclass and l.objid = d.oid \
             and l.pid <> pg_backend_pid()) \
         from pg_database d where datname = current_database())";

/// Ends the other sessions on the database. Returns the number of those that still exist, as the
/// server's text.
async fn end_and_count_others(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let row = last_row(connection, format!("select {END_AND_COUNT_OTHERS}")).await?;
    let left: &str = row.try_get_unchecked(0)?;
    Ok(left.to_owned())
}
