//! What keeps a container for this process: a lease on this machine, and a connection, which the container sees.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use sqlx::AssertSqlSafe;
use testcontainers::bollard::query_parameters::LogsOptionsBuilder;
use tokio::task::JoinHandle;

use super::super::registry::{Instance, LeaseName, PublishedPort, ServerLease};
use super::engine::Engine;
use crate::config::{EngineHints, Plan};
use crate::conn::{ADMIN_DATABASE, ConnParams};
use crate::error::{Error, Result};
use crate::names::Literal;
use crate::sql_error;
use crate::wait::Patience;

/// The container looks for connections once a second, and grants some seconds beyond the linger.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(5);
/// How long an engine may take to pass a line on.
const PASSED_ON: Duration = Duration::from_secs(2);
/// Lines of the log's end that are read.
const LOG_LINES: &str = "20000";
/// Where the container looks for files that keep it until a moment.
const HOLDS: &str = "/tmp/ebbtide";

/// Our hold on a container. It ends with the value, or with the process.
#[derive(Debug)]
pub(in crate::server) struct ContainerHandle {
    pub(in crate::server) instance: Instance,
    container: String,
    /// The engine's address.
    engine: String,
    hints: EngineHints,
    pulse: JoinHandle<()>,
    _lease: ServerLease,
}

impl ContainerHandle {
    pub(in crate::server) fn new(
        plan: &Plan,
        instance: Instance,
        lease: ServerLease,
        conn: &ConnParams,
        port: PublishedPort,
    ) -> Self {
        let delay = (MIN_INTERVAL + *plan.linger.get() / 3).min(MAX_INTERVAL);
        let pulse = tokio::spawn(pulse(conn.clone(), delay));
        let (container, engine, hints) = (port.container, port.engine, plan.engine.clone());
        Self {
            instance,
            container,
            engine,
            hints,
            pulse,
            _lease: lease,
        }
    }

    /// What the engine has of the container's log between a moment and a mark, or why it tells nothing.
    pub(in crate::server) async fn log(
        &self,
        since: SystemTime,
        mark: Option<&str>,
    ) -> Result<String, String> {
        let engine = Engine::find(&self.hints)
            .await
            .map_err(|error| error.to_string())?;
        if engine.endpoint.url != self.engine {
            return Err(format!(
                "the container is on {}, and this process asks {}",
                self.engine, engine.endpoint
            ));
        }
        // Whole seconds: what is too old is left out by who asks.
        let seconds = since
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let since = i32::try_from(seconds).unwrap_or_default();
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .since(since)
            .tail(LOG_LINES)
            .build();
        let mut patience = Patience::new("the container's log", PASSED_ON);
        loop {
            let mut lines = engine.docker.logs(&self.container, Some(options.clone()));
            let mut text = String::new();
            while let Some(line) = lines.next().await {
                text.push_str(&line.map_err(|error| error.to_string())?.to_string());
            }
            let is_all = mark.is_none_or(|mark| text.contains(mark));
            // Without its end it is better than nothing.
            if is_all || patience.pause("the mark is not there").await.is_err() {
                return Ok(text);
            }
        }
    }

    /// Keeps the container, and its directory, until a moment beyond the life of this process.
    pub(in crate::server) async fn hold_for(
        &self,
        conn: &ConnParams,
        term: Duration,
    ) -> Result<()> {
        self.instance.hold_for(term)?;
        let file = format!("{HOLDS}/{}", LeaseName::until(term).as_str());
        let mut admin = conn.connect_own(ADMIN_DATABASE).await?;
        // The server writes the file, whatever engine it runs in.
        // https://www.postgresql.org/docs/current/sql-copy.html
        sqlx::raw_sql(AssertSqlSafe(format!(
            "copy (select 'kept') to {}",
            Literal(&file)
        )))
        .execute(&mut admin)
        .await
        .map(drop)
        .map_err(|error| sql_error::failed("keeping the container", error))
    }

    /// The error for a server that went away.
    pub(in crate::server) fn lost(&self) -> Error {
        super::super::lost().with_evidence(
            "the container",
            format!(
                "{} on {}: it was stopped or killed from outside, or its engine was; its log went with it",
                self.container, self.engine
            ),
        )
    }

    /// Tells the keeper that nobody can use the container any more.
    pub(in crate::server) fn give_up(self) {
        self.instance.give_up();
    }
}

impl Drop for ContainerHandle {
    fn drop(&mut self) {
        self.pulse.abort();
    }
}

/// A connection that does nothing but be there. Most test processes have ended before it is made.
async fn pulse(conn: ConnParams, delay: Duration) {
    tokio::time::sleep(delay).await;
    match conn.connect_own(ADMIN_DATABASE).await {
        Ok(connection) => {
            std::future::pending::<()>().await;
            drop(connection);
        }
        Err(error) => tracing::debug!(%error, "the container is gone already"),
    }
}
