//! Makes a lane's database equal to the template: as it was found, reset, or copied anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::task::AbortHandle;

use super::guard;
use super::leased::Lane;
use super::pool::{LANES, LanePool, Look};
use crate::error::{Error, ErrorKind, Result};
use crate::lane_leases::{LaneLease, LaneState};
use crate::names::DatabaseName;
use crate::wait::Patience;
use crate::{reap, sql_error};

/// How long a session that was told to end may take.
const ENDING: Duration = Duration::from_secs(10);
/// How long a statement may run on when its test is over.
const LATE: Duration = Duration::from_secs(1);

impl LanePool {
    /// Makes a lane equal to the template, and gives the connection that was needed for it, if one was.
    pub(super) async fn equal_to_template(
        &self,
        lease: &LaneLease,
        database: &DatabaseName,
        test: &str,
    ) -> Result<Option<PgConnection>> {
        match self.found(lease, database, test).await? {
            Some(connection) => Ok(Some(connection)),
            None => self.copied(lease, database, test).await,
        }
    }

    /// Copies a lane whose file says that there is a database, after somebody has dropped that.
    pub(super) async fn restore_missing(&self, lane: &Lane, test: &str) -> Result<()> {
        lane.lease.mark(LaneState::Unknown)?;
        self.equal_to_template(&lane.lease, &lane.database, test).await.map(drop)
    }

    /// A connection to the lane as it is, or reset, if it then equals the template.
    async fn found(&self, lease: &LaneLease, database: &DatabaseName, test: &str) -> Result<Option<PgConnection>> {
        let state = lease.state();
        match state {
            Some(LaneState::Unknown) => return Ok(None),
            Some(LaneState::Lent) => {}
            Some(LaneState::Equal) | None => lease.mark(LaneState::Unknown)?,
        }
        let mut connection = match self.connect(database, test).await {
            Err(error) if is_missing(&error) => return Ok(None),
            connected => connected.map_err(|error| self.explain("connecting to a lane", error))?,
        };
        let equal = match state {
            Some(LaneState::Lent) => self.reset(lease, &mut connection).await?,
            _ => self.enter(lease, &mut connection).await?,
        };
        if equal {
            return Ok(Some(connection));
        }
        // Dropping the database ends it otherwise.
        let _ = connection.close().await;
        Ok(None)
    }

    /// Copies the lane anew. Where it says itself who holds it, it is told.
    async fn copied(&self, lease: &LaneLease, database: &DatabaseName, test: &str) -> Result<Option<PgConnection>> {
        self.copy(database).await?;
        lease.mark(LaneState::Equal)?;
        if lease.holder().is_none() {
            return Ok(None);
        }
        let mut connection = self.connect_to_lane(database, test).await?;
        if self.enter(lease, &mut connection).await? {
            return Ok(Some(connection));
        }
        Err(Error::new(ErrorKind::ServerLost, format!("somebody else uses the new copy {database}")))
    }

    /// Whether the lane may be used as it is. Where it says so itself, it learns its holder.
    async fn enter(&self, lease: &LaneLease, connection: &mut PgConnection) -> Result<bool> {
        match lease.holder() {
            None => Ok(true),
            Some(holder) => {
                guard::take(connection, holder).await.map_err(|error| self.explain("entering a lane", error))
            }
        }
    }

    /// How every session of a test begins: a statement outside the guarded transaction cannot write.
    pub(super) fn guarded_options(&self, database: &DatabaseName, test: &str) -> PgConnectOptions {
        let options = self.setting().conn.options(database.as_str()).application_name(test);
        let options = options.options([
            ("default_transaction_read_only", "on"),
            // The transaction is ours and lasts as long as the test: a timeout for the application's own must not end it.
            ("idle_in_transaction_session_timeout", "0"),
        ]);
        // An unknown setting in a start-up message is an error.
        if self.setting().server.version_num >= 170_000 { options.options([("transaction_timeout", "0")]) } else { options }
    }

    /// A connection in place of one that has ended.
    pub(super) async fn connect_again(&self, database: &DatabaseName, test: &str) -> Result<PgConnection> {
        let (pool, database, test) = (self.clone(), database.clone(), test.to_owned());
        self.in_background(async move { pool.connect_to_lane(&database, &test).await }).await
    }

    pub(super) async fn connect_to_lane(&self, database: &DatabaseName, test: &str) -> Result<PgConnection> {
        self.connect(database, test).await.map_err(|error| self.explain("connecting to a lane", error))
    }

    pub(super) async fn connect(&self, database: &DatabaseName, test: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.guarded_options(database, test)).await
    }

    #[tracing::instrument(name = "lane.copy", level = "debug", skip(self))]
    pub(super) async fn copy(&self, database: &DatabaseName) -> Result<()> {
        let template = self.template(Look::Once).await?;
        if self.copy_of(&template, database).await? == Copied::TemplateGone {
            let template = self.template(Look::Again).await?;
            self.copy_of(&template, database).await?;
        }
        Ok(())
    }

    async fn copy_of(&self, template: &DatabaseName, database: &DatabaseName) -> Result<Copied> {
        let server = &self.setting().server;
        let admin = self.copier().take(server).await;
        let mut admin = admin.map_err(|error| self.explain("connecting to copy the template", error))?;
        reap::make_room(server, &mut admin, &self.setting().fingerprint, LANES).await?;
        let create = format!("create database {database} template {template}{}", server.copy_strategy());
        let mut created = sqlx::raw_sql(AssertSqlSafe(create.clone())).execute(&mut admin).await;
        if created.as_ref().is_err_and(is_there_already) {
            reap::drop_database(&mut admin, database).await?;
            created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await;
        }
        match created {
            Ok(_) => {
                self.copier().put_back(admin);
                Ok(Copied::Done)
            }
            // A client that is gone had asked for it, and the server has finished it in this moment.
            Err(error) if is_there_already(&error) => Ok(Copied::Done),
            // Somebody has dropped it as an old one that nobody used.
            Err(error) if is_missing(&error) => Ok(Copied::TemplateGone),
            Err(error) => Err(self.explain("copying the template", error)),
        }
    }

    /// Ends every other session on the lane, undoes what they committed, and says whether that could be proved.
    ///
    /// # Errors
    /// The server is gone.
    #[tracing::instrument(name = "lane.reset", level = "debug", skip_all)]
    pub(super) async fn reset(&self, lease: &LaneLease, connection: &mut PgConnection) -> Result<bool> {
        let result = match self.end_others(connection).await {
            Ok(()) => guard::reset(connection, lease.holder()).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => Ok(true),
            Err(error) if sql_error::is_server_gone(&error) => Err(self.explain("resetting a lane", error)),
            Err(error) => {
                tracing::debug!(%error, "a lane has to be copied anew");
                Ok(false)
            }
        }
    }

    /// Cancels the statements that still run on a lane if its test is not over by then: one that a test has given up
    /// runs on.
    pub(super) fn cancel_late(&self, database: &DatabaseName) -> LateWatch {
        let (pool, database) = (self.clone(), database.clone());
        let cancelled = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&cancelled);
        let watch = self.setting().runtime.spawn(async move {
            tokio::time::sleep(LATE).await;
            let cancel = "select pg_cancel_backend(pid) from pg_stat_activity \
                          where datname = $1 and state = 'active' and query !~ '_ebbtide\\.'";
            // If the server does not answer, closing fails by itself.
            if let Ok(mut admin) = pool.setting().server.admin().await {
                told.store(true, Ordering::Release);
                let _ = sqlx::query(cancel).bind(database.as_str()).execute(&mut admin).await;
                let _ = admin.close().await;
            }
        });
        LateWatch { cancelled, task: watch.abort_handle() }
    }

    /// Ends every other session on the lane, and waits until the server has forgotten them.
    pub(super) async fn end_others(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut patience = Patience::new("ending a test's sessions", ENDING);
        loop {
            let end = "select count(pg_terminate_backend(pid))::text from pg_stat_activity \
                       where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
            let row = sqlx::raw_sql(end).fetch_one(&mut *connection).await?;
            let left: &str = row.try_get_unchecked(0)?;
            if left == "0" {
                return Ok(());
            }
            if let Err(error) = patience.pause(format!("{left} are left")).await {
                return Err(sqlx::Error::Configuration(Box::new(error)));
            }
        }
    }
}

/// Ends with the closing that it watches.
#[derive(Debug)]
pub(super) struct LateWatch {
    cancelled: Arc<AtomicBool>,
    task: AbortHandle,
}

impl LateWatch {
    /// Whether a statement may have been cancelled.
    pub(super) fn has_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

impl Drop for LateWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What came of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    Done,
    TemplateGone,
}

/// Whether there is no such database, or only the rest of one: somebody dropped it behind our back, or tried to.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    // invalid_catalog_name, object_not_in_prerequisite_state
    matches!(sql_error::code(error), Some("3D000" | "55000"))
}

fn is_there_already(error: &sqlx::Error) -> bool {
    // duplicate_database, unique_violation
    matches!(sql_error::code(error), Some("42P04" | "23505"))
}
