//! What this process holds on an external server.

use std::future::ready;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;

use super::super::handle::{LockPlace, ServerHandle};
use super::super::log::MAX_BYTES_READ;
use super::facts::Limits;
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result, cause_message};
use crate::lane_lock::Locks;

/// What this process holds on the server: the locks of its lanes.
#[derive(Debug)]
pub(super) struct ExternalHandle {
    pub(super) locks: Locks,
    /// The role of the URL, which owns every database that ebbtide creates.
    pub(super) role: String,
    pub(super) limits: Limits,
    /// Whether the server runs with `fsync = on`.
    pub(super) is_durable: bool,
    /// The server's address, for errors.
    pub(super) place: String,
    /// The address, the database for administration, where the locks are, and the role.
    pub(super) permits_place: String,
}

/// The server has no supervisor, so there is nothing to give up.
impl ServerHandle for ExternalHandle {
    fn lock_place(&self) -> LockPlace<'_> {
        LockPlace::Server {
            locks: &self.locks,
            place: &self.permits_place,
        }
    }

    fn hold_for<'a>(&'a self, _: &'a ConnParams, _: Duration) -> BoxFuture<'a, Result<()>> {
        // It does not end with its users.
        Box::pin(ready(Ok(())))
    }

    fn log<'a>(
        &'a self,
        conn: &'a ConnParams,
        _: SystemTime,
    ) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(self.remote_log(conn))
    }

    /// The error for a server that ended, or that closed one of this process's connections.
    fn lost(&self) -> Error {
        Error::new(
            ErrorKind::ServerLost,
            format!(
                "the PostgreSQL server at {} closed a connection of this process",
                self.place
            ),
        )
        .with_help("see its log for the reason, and run the tests again when it answers")
    }

    fn connection_limits(&self) -> String {
        self.limits.to_string()
    }

    fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn role(&self) -> Option<&str> {
        Some(&self.role)
    }

    fn outlives_us(&self) -> bool {
        true
    }
}

impl ExternalHandle {
    /// Reads the server's log by SQL, which needs the privilege to read server files.
    async fn remote_log(&self, conn: &ConnParams) -> Result<String, String> {
        // A new session, because a task owns the one that holds the locks.
        let mut admin = conn
            .connect_own(conn.admin())
            .await
            .map_err(|error| self.diagnose(error).to_string())?;
        let bytes = read_remote(&mut admin)
            .await
            .map_err(|error| cause_message(&error))?
            .ok_or_else(|| {
                "the server does not write it to a file (logging_collector = off)".to_owned()
            })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

async fn read_remote(connection: &mut PgConnection) -> Result<Option<Vec<u8>>, sqlx::Error> {
    // Binary, because the first byte may lie within a character, which `pg_read_file` refuses.
    // Without the logging collector, `pg_current_logfile` returns null.
    // <https://www.postgresql.org/docs/current/functions-info.html>
    let limit = i64::from(MAX_BYTES_READ);
    sqlx::query_scalar(
        "select pg_read_binary_file(name, greatest(0, (pg_stat_file(name)).size - $1), $1) \
         from pg_current_logfile('stderr') name where name is not null",
    )
    .bind(limit)
    .fetch_optional(connection)
    .await
}
