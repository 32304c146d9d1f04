//! A lock file that one process holds while it starts a server or removes dead ones.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::wait::Polling;

/// A lock that is held during start-up. It ends when this value is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct StartLock {
    _file: File,
}

impl StartLock {
    /// Takes the lock of the file at `path`, which is created if needed. `step` is what a timeout's
    /// error states.
    pub(super) async fn take(path: &Path, step: &str, limit: Duration) -> Result<Self> {
        let file = open(path)?;
        // Polled: a blocking `lock` has no time limit, and it would block a thread of the runtime.
        // The kernel releases the lock of a killed holder.
        let mut polling = Polling::new(step, limit);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    polling
                        .pause(format!("{} is locked", path.display()))
                        .await?;
                }
                Err(TryLockError::Error(error)) => {
                    let message = format!("{} cannot be locked", path.display());
                    return Err(Error::new(ErrorKind::StateDir, message).with_source(error));
                }
            }
        }
    }

    /// Takes the lock if no process holds it. `None` also if the file cannot be used.
    pub(super) fn try_take(path: &Path) -> Option<Self> {
        let file = open(path).ok()?;
        file.try_lock().ok()?;
        Some(Self { _file: file })
    }
}

/// Opens the lock file, and creates it if needed.
///
/// No process deletes this file: otherwise two processes could hold the locks of two files with
/// this name. The standard library opens it with `O_CLOEXEC`, so the supervisor does not inherit
/// the lock and keep it.
fn open(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| {
            Error::new(
                ErrorKind::StateDir,
                format!("{} could not be opened", path.display()),
            )
            .with_source(error)
        })?;
    // Independent of the umask: later processes of this user must be able to open the file.
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(|error| {
            Error::new(
                ErrorKind::StateDir,
                format!("{} must belong to the current user", path.display()),
            )
            .with_source(error)
        })?;
    Ok(file)
}
