//! Free space for the data of a native server.

use std::path::Path;

use super::memory;
use crate::error::{Error, ErrorKind, Result};

/// Bytes that `initdb` and one copy of its output take, each.
const MIN_FREE_TO_START: u64 = 48 << 20;
const FULL_DISK_HELP: &str = "free some space, or set EBBTIDE_STATE_DIR to a directory on a file system with free \
    space; EBBTIDE_STORAGE=memory moves the data, but not the cache of initdb";
const FULL_MEMORY_HELP: &str = "free some space in /dev/shm, or set EBBTIDE_STORAGE=auto or disk";

/// Refuses a directory whose file system has too little space to start a server.
///
/// # Errors
/// [`ErrorKind::OutOfSpace`], with the free and the needed megabytes.
pub(super) fn check(dir: &Path) -> Result<()> {
    // Checked before the start: an `initdb` that runs out of space aborts and leaves its System V
    // segment behind. If the free space is unknown, the start reports a full disk itself.
    match free_bytes(dir) {
        Some(free) if free < MIN_FREE_TO_START => Err(Error::new(
            ErrorKind::OutOfSpace,
            format!(
                "PostgreSQL needs {} MB of free space to start, but only {} MB are free for {}",
                MIN_FREE_TO_START >> 20,
                free >> 20,
                dir.display()
            ),
        )
        .with_help(full_help(dir))),
        _ => Ok(()),
    }
}

/// The remedy for a full file system, on disk or in memory.
pub(super) fn full_help(dir: &Path) -> &'static str {
    if dir.starts_with(memory::FILE_SYSTEM) {
        FULL_MEMORY_HELP
    } else {
        FULL_DISK_HELP
    }
}

/// Free bytes for this user in the file system of a directory, which need not exist yet.
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    // `f_bavail` excludes the blocks that are reserved for root. Less than one megabyte counts as
    // nothing: no file of a server fits.
    let free = found.f_bavail * found.f_frsize;
    (dir.exists() || existing != Path::new("/")).then_some(if free < 1 << 20 { 0 } else { free })
}
