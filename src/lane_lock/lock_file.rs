//! A file whose lock one holder has at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Takes the lock of the file at `path`, which is created if needed, or returns `None` if another
/// holder has it. The lock is released when the file is closed, also by the process's end.
///
/// No process deletes such a file while the instance exists. If one did, two processes could hold
/// the locks of two files with the same name.
///
/// # Errors
/// The file cannot be opened or locked, usually because the server's directory is gone.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>> {
    let lost = |error: std::io::Error| {
        Error::new(
            ErrorKind::ServerLost,
            format!("{} cannot be used", path.display()),
        )
        .with_source(error)
    };
    // Not truncated: this process does not have the lock yet. The content of a lane's file
    // describes the database of the present or the last holder.
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(lost)?;
    // The lock belongs to the open file and not to the process. So a second holder is refused even
    // within one process, and a child process does not inherit the lock: the standard library opens
    // files with `O_CLOEXEC`.
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(lost(error)),
    }
}
