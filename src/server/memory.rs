//! Data in memory: the file system that Linux keeps there, and this user's directory in it.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::registry::Registry;
use super::{account, state};
use crate::error::{Error, ErrorKind, Result};
use crate::process::Account;

pub(super) const FILE_SYSTEM: &str = "/dev/shm";

fn directory() -> PathBuf {
    Path::new(FILE_SYSTEM).join(format!("ebbtide-{}", account::own_uid()))
}

/// Where a server keeps its data in memory. The directory is the user's one, whatever the state directory is, so the
/// name says whose data it is.
pub(super) fn data(registry: &Registry, instance: &str) -> PathBuf {
    directory().join(format!("{}.{instance}", registry.state.mark()))
}

/// Every data directory in memory that belongs to this state directory, with its instance's name.
pub(super) fn all_data(registry: &Registry, account: Option<Account>) -> Vec<(String, PathBuf)> {
    // Every user may create a directory of this name, and fill it with names that look like ours.
    if !state::belongs_to_server(&directory(), account) {
        return Vec::new();
    }
    let prefix = format!("{}.", registry.state.mark());
    let entries = std::fs::read_dir(directory())
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

/// Creates the directory if needed, and checks that the server's user can use it and no other user can.
///
/// # Errors
/// Another user has taken the name, it is a link, or the file system cannot be written or reached. The help names the
/// storage, since no other state directory would change that.
pub(super) fn prepare(account: Option<Account>) -> Result<()> {
    let directory = directory();
    let usable = || -> Result<()> {
        state::servers_dir(&directory, account)?;
        // Root may write everywhere but on a file system that is mounted read-only.
        access(&directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            Error::new(
                ErrorKind::StateDir,
                format!("the directory {} cannot be written", directory.display()),
            )
            .with_source(std::io::Error::from(error))
        })?;
        match account::barrier(&directory, account) {
            None => Ok(()),
            Some(barrier) => Err(Error::new(
                ErrorKind::StateDir,
                format!(
                    "the server's user cannot reach {}: {} is closed to it",
                    directory.display(),
                    barrier.display()
                ),
            )),
        }
    };
    usable().map_err(|error| {
        let refused = Error::new(
            ErrorKind::StateDir,
            format!("data cannot be kept in memory: {error}"),
        );
        let refused = match std::error::Error::source(&error) {
            Some(source) => refused.with_source(source.to_string()),
            None => refused,
        };
        refused.with_help(format!(
            "set EBBTIDE_STORAGE=auto or disk, or remove {} if you know whose it is",
            directory.display()
        ))
    })
}
