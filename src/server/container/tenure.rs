//! What keeps a container for this process: a lease on this machine, and a connection, which the container sees.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::AssertSqlSafe;
use tokio::task::JoinHandle;

use super::super::registry::{Instance, Lease};
use crate::config::Plan;
use crate::conn::{ADMIN_DATABASE, ConnParams};
use crate::error::{Error, Result};
use crate::names::{Literal, short_id};
use crate::sql_error;

/// The container looks for connections once a second, and grants some seconds beyond the linger.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5);
/// Where the container looks for files that keep it until a moment.
const HOLDS: &str = "/tmp/ebbtide";

/// Our hold on a container. It ends with the value, or with the process.
#[derive(Debug)]
pub(in crate::server) struct Tenure {
    pub(in crate::server) instance: Instance,
    /// The container and its engine, for people.
    container: String,
    pulse: JoinHandle<()>,
    _lease: Lease,
}

impl Tenure {
    pub(in crate::server) fn new(
        plan: &Plan,
        instance: Instance,
        lease: Lease,
        conn: &ConnParams,
        container: String,
    ) -> Self {
        let delay = (SOONEST + *plan.linger.get() / 3).min(LATEST);
        let pulse = tokio::spawn(pulse(conn.clone(), delay));
        Self { instance, container, pulse, _lease: lease }
    }

    /// Keeps the container, and its folder, until a moment beyond the life of this process.
    pub(in crate::server) async fn hold_for(&self, conn: &ConnParams, term: Duration) -> Result<()> {
        self.instance.hold_for(term)?;
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + term;
        let file = format!("{HOLDS}/until.{}.{}", end.as_secs(), short_id());
        let mut admin = conn.connect(ADMIN_DATABASE).await?;
        // The server writes the file, whatever engine it runs in.
        // https://www.postgresql.org/docs/current/sql-copy.html
        sqlx::raw_sql(AssertSqlSafe(format!("copy (select 'kept') to {}", Literal(&file))))
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
                "{}: it was stopped or killed from outside, or its engine was; its log went with it",
                self.container
            ),
        )
    }

    /// Tells the keeper that nobody can use the container any more.
    pub(in crate::server) fn give_up(self) {
        // When it is gone already, the keeper knows.
        let _ = std::fs::remove_file(self.instance.folder.join("serving"));
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.pulse.abort();
    }
}

/// A connection that does nothing but be there. Most test processes have ended before it is made.
async fn pulse(conn: ConnParams, delay: Duration) {
    tokio::time::sleep(delay).await;
    match conn.connect(ADMIN_DATABASE).await {
        Ok(connection) => {
            std::future::pending::<()>().await;
            drop(connection);
        }
        Err(error) => tracing::debug!(%error, "the container is gone already"),
    }
}
