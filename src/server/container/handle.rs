//! What keeps a container running for this process.
//!
//! | watcher | it sees | it waits |
//! |---|---|---|
//! | the supervisor, on this machine | the lease file of this process | the linger |
//! | the entrypoint, in the container | connections to PostgreSQL | the linger and two seconds |
//!
//! Neither sees what the other one sees: a lease does not reach the container, which may run on
//! another machine. So a process needs both, a lease from the beginning and a connection before the
//! entrypoint's time is over. For the time after the process, [`ServerHandle::hold_for`] also
//! makes two entries: a lease with a term, and a file in the container.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;
use testcontainers::bollard::query_parameters::LogsOptionsBuilder;
use tokio::task::JoinHandle;

use super::super::handle::{self, LockPlace, ServerAccess, ServerHandle};
use super::super::identification::SUPERUSER;
use super::super::registry::{Instance, LeaseName, Pointer, ServerLease};
use super::engine::Engine;
use super::published_port::PublishedPort;
use crate::config::{Backend, EngineHints, Plan};
use crate::conn::{ADMIN_DATABASE, ConnParams};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Literal;
use crate::sql_error;
use crate::wait::Polling;

/// The delay before the idle connection is one second and a third of the linger, but at most
/// [`MAX_CONNECT_DELAY`]. This is less than the linger and two seconds, after which the entrypoint
/// ends an unused container.
const MIN_CONNECT_DELAY: Duration = Duration::from_secs(1);
const MAX_CONNECT_DELAY: Duration = Duration::from_secs(5);
/// How long to wait for the engine to deliver the log's last lines.
const LOG_DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of lines that are read from the log's end.
const MAX_LOG_LINES: &str = "20000";
/// The directory in the container whose files keep it running until a moment.
const HOLDS_DIR: &str = "/tmp/ebbtide";

/// This process's use of a container. It ends when the value is dropped or the process ends.
#[derive(Debug)]
pub(super) struct ContainerHandle {
    instance: Instance,
    container: String,
    /// The engine's address.
    engine: String,
    hints: EngineHints,
    /// The task that holds the idle connection.
    idle_connection: JoinHandle<()>,
    _lease: ServerLease,
}

impl ContainerHandle {
    pub(super) fn access(
        plan: &Plan,
        pointer: &Pointer,
        port: PublishedPort,
        instance: Instance,
        lease: ServerLease,
    ) -> ServerAccess {
        let conn = ConnParams::tcp(&port.host, port.port, SUPERUSER, &port.password)
            .with_version_and_role(pointer.version_and_role());
        let delay = (MIN_CONNECT_DELAY + *plan.linger.get() / 3).min(MAX_CONNECT_DELAY);
        let handle = Self {
            instance,
            container: port.container,
            engine: port.engine,
            hints: plan.engine.clone(),
            // The entrypoint counts connections, not leases. A process with a lease but without a
            // connection would lose the container after the linger and two seconds.
            idle_connection: tokio::spawn(hold_idle_connection(conn.clone(), delay)),
            _lease: lease,
        };
        ServerAccess {
            backend: Backend::Container,
            conn,
            handle: Box::new(handle),
        }
    }

    /// The container's log since a moment, up to a line that contains `mark`.
    ///
    /// The engine delivers lines with a delay. So the function reads again until the mark arrives,
    /// but not longer than two seconds: an incomplete log is better than none.
    async fn log_up_to(&self, mark: Option<&str>, since: SystemTime) -> Result<String, String> {
        let engine = Engine::find(&self.hints)
            .await
            .map_err(|error| error.to_string())?;
        // If that engine has ended, or Docker's current context has changed since the start, the
        // search finds another engine, which has no such container.
        if engine.endpoint.url != self.engine {
            return Err(format!(
                "the container is on {}, but this process uses {}",
                self.engine, engine.endpoint
            ));
        }
        // The API takes whole seconds. The caller discards the lines that are too old.
        let seconds = since
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let since = i32::try_from(seconds).unwrap_or_default();
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .since(since)
            .tail(MAX_LOG_LINES)
            .build();
        let mut polling = Polling::new("the container's log", LOG_DELIVERY_TIMEOUT);
        loop {
            // Without `follow`: a followed log ends only with the container.
            let mut lines = engine.docker.logs(&self.container, Some(options.clone()));
            let mut text = String::new();
            while let Some(line) = lines.next().await {
                text.push_str(&line.map_err(|error| error.to_string())?.to_string());
            }
            let is_complete = mark.is_none_or(|mark| text.contains(mark));
            if is_complete || polling.pause("the mark is missing").await.is_err() {
                return Ok(text);
            }
        }
    }

    /// Keeps the container itself, and its instance directory.
    async fn hold_container(&self, conn: &ConnParams, term: Duration) -> Result<()> {
        // The lease comes first. If this process is killed before the next step, the container ends
        // after the linger, and the supervisor detects that. In the other order, the container
        // would run for the whole term, and no process could find it.
        self.instance.hold_for(term)?;
        let file = format!("{HOLDS_DIR}/{}", LeaseName::until(term).as_str());
        let mut admin = conn.connect_own(ADMIN_DATABASE).await?;
        // The server itself writes the file in its container, because the engine may be on another
        // machine. https://www.postgresql.org/docs/current/sql-copy.html
        sqlx::raw_sql(AssertSqlSafe(format!(
            "copy (select 'kept') to {}",
            Literal(&file)
        )))
        .execute(&mut admin)
        .await
        .map(drop)
        .map_err(|error| sql_error::failed("keeping the container", error))
    }
}

impl ServerHandle for ContainerHandle {
    fn lock_place(&self) -> LockPlace<'_> {
        LockPlace::Instance(&self.instance)
    }

    fn hold_for<'a>(&'a self, conn: &'a ConnParams, term: Duration) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.hold_container(conn, term))
    }

    fn log<'a>(
        &'a self,
        conn: &'a ConnParams,
        since: SystemTime,
    ) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move {
            self.log_up_to(write_log_mark(conn).await.as_deref(), since)
                .await
        })
    }

    fn lost(&self) -> Error {
        handle::lost().with_evidence(
            "the container",
            format!(
                "{} on {}: the container or its engine was stopped or killed from outside; the \
                 container's log was removed with it",
                self.container, self.engine
            ),
        )
    }

    /// Also if another program's server now listens on the port of this container.
    fn is_lost(&self, error: &Error) -> bool {
        let refused = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<sqlx::Error>())
            .and_then(sql_error::code);
        // The engine reuses published ports. The container's password is random, so another server
        // with passwords rejects it with `invalid_password`
        // (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        error.kind() == ErrorKind::ServerLost || refused == Some("28P01")
    }

    fn give_up(&self) {
        self.instance.give_up();
    }
}

impl Instance {
    /// Makes the supervisor of a container treat its server as dead.
    ///
    /// The supervisor watches the file `serving`; it does not connect to the server.
    pub(super) fn give_up(&self) {
        // A missing file means that the supervisor treats the server as dead already.
        let _ = std::fs::remove_file(self.dir.join("serving"));
    }
}

impl Drop for ContainerHandle {
    fn drop(&mut self) {
        // The task would hold its connection until the end of the process, and the entrypoint would
        // count the container as used.
        self.idle_connection.abort();
    }
}

/// Holds an open connection, so that the entrypoint sees a user even while no test is connected.
///
/// It waits first, because most test processes end within the delay and need no such connection.
async fn hold_idle_connection(conn: ConnParams, delay: Duration) {
    tokio::time::sleep(delay).await;
    match conn.connect_own(ADMIN_DATABASE).await {
        Ok(connection) => {
            std::future::pending::<()>().await;
            drop(connection);
        }
        // Only logged: a test that needs the server gets an error from its own statement.
        Err(error) => tracing::debug!(%error, "the container is gone already"),
    }
}

/// Writes a line to the container's log and returns it, if the server still accepts statements.
///
/// A container engine passes log lines on with a delay. When this line has arrived, all earlier
/// lines have arrived too.
async fn write_log_mark(conn: &ConnParams) -> Option<String> {
    let mark = format!("ebbtide reads this log: {}", uuid::Uuid::new_v4());
    let mut admin = conn.connect_own(conn.admin()).await.ok()?;
    // LOG is above ERROR in the order of `log_min_messages`, so the default lets this line pass
    // (https://www.postgresql.org/docs/current/runtime-config-logging.html).
    let raise = AssertSqlSafe(format!("do $$ begin raise log '{mark}'; end $$"));
    sqlx::raw_sql(raise).execute(&mut admin).await.ok()?;
    Some(mark)
}
