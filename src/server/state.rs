//! The folder below which sockets, leases, locks and the initdb cache live.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::account;
use crate::conn::PORT;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Account;

/// Bytes that a socket's path may have: `sun_path` holds one more for the terminating zero.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The state folder, checked and with its parts in place.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder {
    root: PathBuf,
    mark: String,
}

impl StateFolder {
    /// Creates what is missing and refuses what somebody else could have prepared for us.
    ///
    /// # Errors
    /// [`ErrorKind::StateFolder`]: the folder is a link, belongs to someone else, cannot be written, or its path
    /// is too long for a socket.
    pub(crate) fn open(root: &Path, account: Option<Account>) -> Result<Self> {
        let state = Self { root: root.to_owned(), mark: String::new() };
        let longest = state.servers().join("00000000.00000000").join(format!(".s.PGSQL.{PORT}"));
        let length = longest.as_os_str().len();
        if length > SOCKET_PATH_LIMIT {
            return Err(Error::new(
                ErrorKind::StateFolder,
                format!(
                    "a socket below {} would have a path of {length} bytes; the system's limit is {SOCKET_PATH_LIMIT}",
                    root.display()
                ),
            )
            .with_help("set EBBTIDE_STATE_DIR to a shorter path, for example /tmp/ebbtide"));
        }
        // Another user must pass through, not look inside.
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        own_folder(root, mode, account::own_uid())?;
        if let Some(barrier) = account::barrier(root, account) {
            return Err(Error::new(
                ErrorKind::StateFolder,
                format!("the server's user cannot reach {}: {} is closed to it", root.display(), barrier.display()),
            )
            .with_help("set EBBTIDE_STATE_DIR to a folder that every user can reach, for example below /tmp"));
        }
        own_folder(&state.locks(), 0o700, account::own_uid())?;
        servers_folder(&state.servers(), account)?;
        servers_folder(&state.cache(), account)?;
        let metadata = std::fs::metadata(root).map_err(|error| unusable(root, error))?;
        Ok(Self { mark: format!("{:x}-{:x}", metadata.dev(), metadata.ino()), ..state })
    }

    /// Names this folder and no other, by whatever path it is reached.
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

/// Creates the folder if needed, and makes sure that it is ours, is no link, and has this mode.
pub(crate) fn own_folder(folder: &Path, mode: u32, owner: u32) -> Result<()> {
    make(folder, mode)?;
    let metadata = std::fs::symlink_metadata(folder).map_err(|error| unusable(folder, error))?;
    if !metadata.is_dir() || metadata.uid() != owner {
        let what = if metadata.is_dir() {
            format!("belongs to user {}, not {owner}", metadata.uid())
        } else {
            "is a link or no folder".to_owned()
        };
        return Err(Error::new(ErrorKind::StateFolder, format!("{} {what}", folder.display()))
            .with_help("remove it if you know whose it is, or set EBBTIDE_STATE_DIR to a folder of your own"));
    }
    if metadata.mode() & 0o777 != mode {
        std::fs::set_permissions(folder, Permissions::from_mode(mode)).map_err(|error| unusable(folder, error))?;
    }
    Ok(())
}

/// Creates the folder if needed, for the server's user, and makes sure that it is theirs and is no link.
pub(crate) fn servers_folder(folder: &Path, account: Option<Account>) -> Result<()> {
    make(folder, 0o700)?;
    // Also after a start that was killed between the two calls.
    let ours = std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == account::own_uid());
    if ours {
        account::hand_over(folder, account).map_err(|error| unusable(folder, error))?;
    }
    own_folder(folder, 0o700, account.map_or(account::own_uid(), |account| account.uid))
}

fn make(folder: &Path, mode: u32) -> Result<()> {
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(|error| unusable(parent, error))?;
    }
    match DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(folder, error)),
    }
}

fn unusable(folder: &Path, error: std::io::Error) -> Error {
    let kind = if error.kind() == IoErrorKind::StorageFull { ErrorKind::OutOfSpace } else { ErrorKind::StateFolder };
    Error::new(kind, format!("the folder {} cannot be used", folder.display()))
        .with_source(error)
        .with_help("make it writable, or set EBBTIDE_STATE_DIR to a folder of your own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_a_path_too_long_are_refused() {
        let base = std::env::temp_dir().join(format!("ebbtide-unit-{}", crate::names::short_id()));
        std::fs::create_dir(&base).expect("the temporary folder is writable");
        let link = base.join("link");
        std::os::unix::fs::symlink(&base, &link).expect("links can be made");
        let linked = StateFolder::open(&link, None).expect_err("a link is refused");
        let long = StateFolder::open(&base.join("x".repeat(100)), None).expect_err("the path is too long");
        std::fs::remove_dir_all(&base).expect("the folder is ours");
        assert_eq!(linked.kind(), ErrorKind::StateFolder);
        assert!(linked.to_string().ends_with("is a link or no folder"), "{linked}");
        assert!(long.to_string().contains("the system's limit is"), "{long}");
        assert!(!base.exists());
    }
}
