//! What this process holds on an external server.

use super::facts::Limits;
use crate::error::{Error, ErrorKind};
use crate::lane_lock::Locks;

/// What this process holds on the server: the locks of its lanes.
#[derive(Debug)]
pub(in crate::server) struct ExternalHandle {
    pub(in crate::server) locks: Locks,
    /// The role of the URL, which owns every database that ebbtide creates.
    pub(in crate::server) role: String,
    pub(in crate::server) limits: Limits,
    /// Whether the server runs with `fsync = on`.
    pub(in crate::server) is_durable: bool,
    /// The server's address, for errors.
    pub(super) place: String,
}

impl ExternalHandle {
    /// The error for a server that ended, or that closed one of this process's connections.
    pub(in crate::server) fn lost(&self) -> Error {
        Error::new(
            ErrorKind::ServerLost,
            format!(
                "the PostgreSQL server at {} closed a connection of this process",
                self.place
            ),
        )
        .with_help("see its log for the reason, and run the tests again when it answers")
    }
}
