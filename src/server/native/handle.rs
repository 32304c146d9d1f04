//! What a process holds on a native server: a lease of its instance.

use std::fs::File;
use std::future::ready;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;

use super::super::disk;
use super::super::handle::{self, LockPlace, ServerAccess, ServerHandle};
use super::super::identification::SUPERUSER;
use super::super::log::MAX_BYTES_READ;
use super::super::registry::{Instance, Pointer, ServerLease};
use super::memory;
use crate::config::Backend;
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result};
use crate::scarcity::Scarcity;
use crate::{process, sql_error};

/// The supervisor of a native server.
pub(super) const SCRIPT: &str = concat!(
    include_str!("../instance.sh"),
    include_str!("saved.sh"),
    include_str!("supervise.sh")
);

/// This process's use of a native server. It ends when the value is dropped or the process ends.
#[derive(Debug)]
pub(super) struct NativeHandle {
    instance: Instance,
    _lease: ServerLease,
}

impl NativeHandle {
    pub(super) fn access(
        pointer: &Pointer,
        instance: Instance,
        lease: ServerLease,
    ) -> ServerAccess {
        let conn = ConnParams::socket(&instance.dir, SUPERUSER);
        ServerAccess {
            backend: Backend::Native,
            conn: conn.with_version_and_role(pointer.version_and_role()),
            handle: Box::new(Self {
                instance,
                _lease: lease,
            }),
        }
    }
}

/// The supervisor watches the server's process, so there is nothing to give up.
impl ServerHandle for NativeHandle {
    fn lock_place(&self) -> LockPlace<'_> {
        LockPlace::Instance(&self.instance)
    }

    fn hold_for<'a>(&'a self, _: &'a ConnParams, term: Duration) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(self.instance.hold_for(term)))
    }

    fn log<'a>(
        &'a self,
        _: &'a ConnParams,
        _: SystemTime,
    ) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(ready(read_end(&self.instance.log())))
    }

    fn keeps_data_in_memory(&self) -> bool {
        !memory::data_on_disk(&self.instance).exists()
    }

    fn lost(&self) -> Error {
        lost_with_log(&self.instance.log())
    }
}

fn read_end(log: &Path) -> Result<String, String> {
    let read = || {
        let mut file = File::open(log)?;
        // The server appends to the log meanwhile, so `take` limits what is read.
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            length.saturating_sub(MAX_BYTES_READ.into()),
        ))?;
        // The first line may be cut. The parser skips a line without a complete prefix.
        let mut bytes = Vec::new();
        file.take(MAX_BYTES_READ.into()).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|error: std::io::Error| format!("{}: {error}", log.display()))
}

/// The error for a lost native server, with the cause that its log shows.
///
/// The sessions see a closed connection and no reason.
fn lost_with_log(log: &Path) -> Error {
    let end = process::tail(log, 10);
    // A server that cannot fork a backend closes the connection and continues. Other lines may
    // report a shortage that only one statement met.
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
        // A server that cannot write its WAL terminates.
        Error::new(
            ErrorKind::OutOfSpace,
            "the PostgreSQL server ended because there is no space left for its data",
        )
        .with_help(sql_error::DISK_FULL_HELP)
    } else {
        handle::lost()
    };
    error.with_evidence("the server's log ends", end)
}
