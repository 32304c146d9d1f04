//! Where a server's data is: in Linux's file system in memory, or on disk.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::super::registry::{Instance, Registry};
use super::super::{account, state};
use crate::error::{Error, ErrorKind, Result};
use crate::process::Account;

pub(super) const FILE_SYSTEM: &str = "/dev/shm";

fn memory_dir() -> PathBuf {
    // Every user can create files in the file system, so each user has a directory of its own.
    Path::new(FILE_SYSTEM).join(format!("ebbtide-{}", account::own_uid()))
}

/// The data directory of a server on disk.
pub(super) fn data_on_disk(instance: &Instance) -> PathBuf {
    instance.dir.join("data")
}

/// The data directory of a server in memory.
///
/// All state directories of a user share one directory in memory, so the name contains the mark of
/// the state directory.
pub(super) fn data(registry: &Registry, instance: &str) -> PathBuf {
    memory_dir().join(format!("{}.{instance}", registry.state.mark()))
}

/// Every data directory in memory of this state directory, with the name of its instance.
pub(super) fn all_data(registry: &Registry, account: Option<Account>) -> Vec<(String, PathBuf)> {
    // Every user can create a directory of this name with matching names in it, and the caller
    // deletes what this function finds.
    if !state::belongs_to_server(&memory_dir(), account) {
        return Vec::new();
    }
    let prefix = format!("{}.", registry.state.mark());
    let entries = std::fs::read_dir(memory_dir())
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| {
            Some((
                entry
                    .file_name()
                    .to_str()?
                    .strip_prefix(&prefix)?
                    .to_owned(),
                entry.path(),
            ))
        })
        .collect()
}

/// Creates the directory if needed, and checks that only the server's user can use it.
///
/// # Errors
/// The directory belongs to another user, is a link, or cannot be written or reached.
pub(super) fn prepare(account: Option<Account>) -> Result<()> {
    let dir = memory_dir();
    let usable = || -> Result<()> {
        state::ensure_server_dir(&dir, account)?;
        // Checked also for root, who cannot write to a file system that is mounted read-only.
        access(&dir, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            Error::new(
                ErrorKind::StateDir,
                format!("the directory {} must be writable", dir.display()),
            )
            .with_source(std::io::Error::from(error))
        })?;
        match account::barrier(&dir, account) {
            None => Ok(()),
            Some(barrier) => Err(Error::new(
                ErrorKind::StateDir,
                format!(
                    "the server's user must be able to reach {}, and has no access to {}",
                    dir.display(),
                    barrier.display()
                ),
            )),
        }
    };
    usable().map_err(|error| {
        let refused = Error::new(
            ErrorKind::StateDir,
            format!(
                "data in memory must be in a directory that only the server's user can use: {error}"
            ),
        );
        let refused = match std::error::Error::source(&error) {
            Some(source) => refused.with_source(source.to_string()),
            None => refused,
        };
        // The helps of `state` name EBBTIDE_STATE_DIR, and another state directory would not help
        // here.
        refused.with_help(format!(
            "set EBBTIDE_STORAGE=auto or disk, or remove {} if you know whose it is",
            dir.display()
        ))
    })
}
