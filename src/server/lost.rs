//! The errors for a server that ended while it was in use.

use std::path::Path;

use super::disk;
use crate::error::{Error, ErrorKind};
use crate::scarcity::Scarcity;
use crate::{process, sql_error};

pub(super) fn lost() -> Error {
    Error::new(
        ErrorKind::ServerLost,
        "the PostgreSQL server went away while it was in use",
    )
    .with_help("run the tests again: the next run starts a new server")
}

/// The error for a lost native server, with the cause that its log shows.
///
/// The sessions see a closed connection and no reason: a server that cannot write its WAL
/// terminates, and a server that cannot fork a backend closes the connection and continues.
pub(super) fn lost_with_log(log: &Path) -> Error {
    let end = process::tail(log, 10);
    let of_fork: String = end
        .lines()
        .filter(|line| line.contains("could not fork"))
        .collect();
    let error = if let Some(scarcity) = Scarcity::in_text(&of_fork) {
        let message = format!(
            "the PostgreSQL server could not serve a connection: {}",
            scarcity.description()
        );
        Error::new(ErrorKind::OutOfConnections, message).with_help(scarcity.help())
    } else if disk::is_full(&process::tail(log, 50)) {
        Error::new(
            ErrorKind::OutOfSpace,
            "the PostgreSQL server ended because there is no space left for its data",
        )
        .with_help(sql_error::DISK_FULL_HELP)
    } else {
        lost()
    };
    error.with_evidence("the server's log ends", end)
}
