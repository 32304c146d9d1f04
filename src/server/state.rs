//! The directory that holds sockets, leases, locks and the initdb cache.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::account;
use crate::conn::PORT;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Account;

/// Bytes that a socket's path may have.
// `sun_path` has 108 bytes on Linux and 104 on macOS and the BSDs. The last one is the terminating
// zero. <https://man7.org/linux/man-pages/man7/unix.7.html>
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The state directory, after its checks, with all subdirectories.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    root: PathBuf,
    mark: String,
}

impl StateDir {
    /// Creates what is missing, and refuses what another user could have prepared or could replace.
    ///
    /// # Errors
    /// [`ErrorKind::StateDir`]: the directory is a link, belongs to another user or cannot be
    /// written; its parent does not exist; or another user could replace it.
    pub(crate) fn open(root: &Path, account: Option<Account>) -> Result<Self> {
        let state = Self {
            root: root.to_owned(),
            mark: String::new(),
        };
        // The server's user must be able to pass through, but not to list the directory.
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        // First, because a user who can replace a parent could undo every later check.
        check_parents(root)?;
        ensure_dir(root, mode, account::own_uid())?;
        if let Some(barrier) = account::barrier(root, account) {
            return Err(Error::new(
                ErrorKind::StateDir,
                format!(
                    "the server's user must be able to reach {}, and has no access to {}",
                    root.display(),
                    barrier.display()
                ),
            )
            .with_help(
                "set EBBTIDE_STATE_DIR to a directory that every user can reach, for example below \
                 /tmp",
            ));
        }
        // Only test processes take these locks, and the supervisor takes none. The supervisor runs
        // as the server's user, and creates directories in the other two.
        ensure_dir(&state.locks(), 0o700, account::own_uid())?;
        ensure_server_dir(&state.servers(), account)?;
        ensure_server_dir(&state.cache(), account)?;
        let metadata = std::fs::metadata(root).map_err(|error| unusable(root, error))?;
        Ok(Self {
            mark: format!("{:x}-{:x}", metadata.dev(), metadata.ino()),
            ..state
        })
    }

    /// Identifies this directory by device and inode, so that two paths to it give the same mark.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn servers(&self) -> PathBuf {
        self.root.join("servers")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }
}

/// Refuses a directory in which neither PostgreSQL nor the driver could use a socket.
///
/// # Errors
/// [`ErrorKind::StateDir`]: a socket's path would be too long, is not UTF-8, or holds a control
/// character.
pub(super) fn check_for_sockets(root: &Path) -> Result<()> {
    let longest = root
        .join("servers/00000000.00000000")
        .join(format!(".s.PGSQL.{PORT}"));
    let length = longest.as_os_str().len();
    if length > MAX_SOCKET_PATH {
        let root = root.display();
        let message = format!(
            "the path of a socket must have at most {MAX_SOCKET_PATH} bytes, but below {root} it \
             has {length} bytes"
        );
        return Err(Error::new(ErrorKind::StateDir, message)
            .with_help("set EBBTIDE_STATE_DIR to a shorter path, for example /tmp/ebbtide"));
    }
    // The driver and URLs need UTF-8. The server writes the path as one line of `postmaster.pid`.
    let complaint = match root.to_str() {
        None => "is not valid UTF-8",
        Some(text) if text.contains(char::is_control) => {
            "contains a line break or another control character"
        }
        Some(_) => return Ok(()),
    };
    // Escaped, because a raw line break would split the message, and other bytes would be lost.
    let escaped = root.as_os_str().as_bytes().escape_ascii();
    Err(Error::new(
        ErrorKind::StateDir,
        format!(
            "the path of the state directory must be valid UTF-8 without control characters, but \
             \"{escaped}\" {complaint}"
        ),
    )
    .with_help("set EBBTIDE_STATE_DIR to a path of printable characters, for example /tmp/ebbtide"))
}

/// Refuses a directory whose parent does not exist, or which another user could replace.
fn check_parents(root: &Path) -> Result<()> {
    let parent = root.parent().unwrap_or(root);
    // The parent is not created: with a mistyped TMPDIR, root would create a directory that stays.
    // Links are resolved, because a user who can replace the target's parents is a danger too.
    let real = std::fs::canonicalize(parent).map_err(|error| {
        let message = format!(
            "the parent of the state directory {} must exist: {}",
            root.display(),
            parent.display()
        );
        Error::new(ErrorKind::StateDir, message)
            .with_source(error)
            .with_help(format!(
                "create {}, or set TMPDIR or EBBTIDE_STATE_DIR to a directory that exists",
                parent.display()
            ))
    })?;
    for dir in real.ancestors() {
        let mode = std::fs::metadata(dir)
            .map_err(|error| unusable(dir, error))?
            .mode();
        // In a directory without the sticky bit, every user with write access can rename the files
        // of other users.
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            let message = format!(
                "no other user may be able to replace the state directory {}: {} has mode {:o}, \
                 without the sticky bit",
                root.display(),
                dir.display(),
                mode & 0o7777
            );
            return Err(Error::new(ErrorKind::StateDir, message).with_help(format!(
                "run `chmod +t {}` (or `chmod o-w`), or set EBBTIDE_STATE_DIR to a directory below \
                 /tmp or your home",
                dir.display()
            )));
        }
    }
    Ok(())
}

/// Whether a directory exists, is not a link, and belongs to the server's user.
pub(super) fn belongs_to_server(dir: &Path, account: Option<Account>) -> bool {
    let owner = account.map_or(account::own_uid(), |account| account.uid);
    std::fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir() && found.uid() == owner)
}

/// Creates the directory if needed, and checks that it is not a link and belongs to `owner`. Sets
/// its mode.
pub(crate) fn ensure_dir(dir: &Path, mode: u32, owner: u32) -> Result<()> {
    // Created first and checked afterwards: another user could create a directory between a check
    // that finds none and the creation. `symlink_metadata` does not follow a link of that user.
    make(dir, mode)?;
    let metadata = std::fs::symlink_metadata(dir).map_err(|error| unusable(dir, error))?;
    if !metadata.is_dir() || metadata.uid() != owner {
        let complaint = if metadata.is_dir() {
            format!("belongs to user {}, not {owner}", metadata.uid())
        } else {
            "must be a directory and not a link".to_owned()
        };
        return Err(Error::new(
            ErrorKind::StateDir,
            format!("{} {complaint}", dir.display()),
        )
        .with_help(
            "remove it if you know whose it is, or set EBBTIDE_STATE_DIR to a directory of your \
             own",
        ));
    }
    // `mkdir` subtracts the umask from the mode, and an earlier start may have had no account.
    if metadata.mode() & 0o777 != mode {
        std::fs::set_permissions(dir, Permissions::from_mode(mode))
            .map_err(|error| unusable(dir, error))?;
    }
    Ok(())
}

/// Creates the directory if needed, and checks that it is not a link and belongs to the server's
/// user.
pub(crate) fn ensure_server_dir(dir: &Path, account: Option<Account>) -> Result<()> {
    make(dir, 0o700)?;
    // Also if the directory existed: an earlier process may have been killed between `make` and
    // this step.
    let is_own = std::fs::symlink_metadata(dir)
        .is_ok_and(|found| found.is_dir() && found.uid() == account::own_uid());
    // Anything else stays as it is: `ensure_dir` accepts only a directory of the server's user.
    if is_own {
        account::hand_over(dir, account).map_err(|error| unusable(dir, error))?;
    }
    ensure_dir(
        dir,
        0o700,
        account.map_or(account::own_uid(), |account| account.uid),
    )
}

fn make(dir: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => Ok(()),
        // Another process may have created it in the same moment.
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(dir, error)),
    }
}

fn unusable(dir: &Path, error: std::io::Error) -> Error {
    let kind = if error.kind() == IoErrorKind::StorageFull {
        ErrorKind::OutOfSpace
    } else {
        ErrorKind::StateDir
    };
    Error::new(
        kind,
        format!("the directory {} cannot be used", dir.display()),
    )
    .with_source(error)
    .with_help("make it writable, or set EBBTIDE_STATE_DIR to a directory of your own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_too_long_a_path_are_refused() {
        let base = tempfile::tempdir().expect("the temporary directory is writable");
        let base = base.path();
        let link = base.join("link");
        std::os::unix::fs::symlink(base, &link).expect("links can be made");
        let linked = StateDir::open(&link, None).expect_err("a link is refused");
        let long =
            check_for_sockets(&base.join("x".repeat(100))).expect_err("the path is too long");
        assert_eq!(linked.kind(), ErrorKind::StateDir);
        assert!(
            linked
                .to_string()
                .ends_with("must be a directory and not a link"),
            "{linked}"
        );
        assert!(long.to_string().contains("must have at most"), "{long}");
    }
}
