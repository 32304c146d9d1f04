//! The operating system user that runs the server.

use std::path::Path;

use rustix::process::geteuid;

use crate::error::{Error, ErrorKind, Result};
use crate::process::Account;

/// The effective user id of this process.
pub(crate) fn own_uid() -> u32 {
    // The effective one: it owns the files that this process creates.
    geteuid().as_raw()
}

/// The account for the server's processes, or `None` for the current user.
///
/// Root runs the server as the user `postgres`, or else as `nobody`.
///
/// # Errors
/// The current user is root, and neither user exists or the password file cannot be read.
pub(crate) fn for_server() -> Result<Option<Account>> {
    // PostgreSQL refuses to run as root.
    // <https://www.postgresql.org/docs/current/creating-cluster.html>
    if own_uid() != 0 {
        return Ok(None);
    }
    let users = users(Path::new("/etc/passwd"))?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| find(&users, name))
        .map(Some)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::BackendUnavailable,
                "root must run PostgreSQL as another user, but there is neither a user `postgres` \
                 nor a user `nobody`",
            )
            .with_help(
                "create the user with `useradd --system postgres`, or run the tests as an \
                 ordinary user",
            )
        })
}

/// The content of the password file. A missing file means that there are no users.
fn users(file: &Path) -> Result<String> {
    match std::fs::read(file) {
        Ok(users) => Ok(String::from_utf8_lossy(&users).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(
            Error::new(ErrorKind::Io, format!("{} cannot be read", file.display()))
                .with_source(error),
        ),
    }
}

fn find(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        // An entry with the uid 0 is another name of root, which PostgreSQL refuses too.
        (uid != 0).then_some(Account { uid, gid })
    })
}

/// Gives a directory to the account.
pub(crate) fn hand_over(dir: &Path, account: Option<Account>) -> std::io::Result<()> {
    match account {
        Some(Account { uid, gid }) => std::os::unix::fs::chown(dir, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// The nearest parent directory of `path` that the account cannot enter, if there is one.
pub(crate) fn barrier(path: &Path, account: Option<Account>) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let account = account?;
    // Without `path` itself: the callers have just set its owner and its mode.
    path.ancestors().skip(1).find_map(|dir| {
        let metadata = std::fs::metadata(dir).ok()?;
        let mode = metadata.mode();
        // POSIX checks one class only: the owner is refused if its bit is missing, although others
        // may enter. Supplementary groups do not count, because `Command::uid` removes those of
        // root in the child.
        let passable = if metadata.uid() == account.uid {
            mode & 0o100
        } else if metadata.gid() == account.gid {
            mode & 0o010
        } else {
            mode & 0o001
        };
        (passable == 0).then(|| dir.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_password_file_is_an_error_and_a_missing_one_is_empty() {
        assert_eq!(users(Path::new("/nowhere/passwd")).unwrap(), "");
        assert_eq!(users(Path::new("/")).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn the_account_comes_from_the_password_file_and_is_never_root() {
        let users = "root:x:0:0::/root:/bin/sh\n\
            postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n\
            evil:x:0:0::/:/bin/sh\n";
        assert_eq!(
            find(users, "postgres"),
            Some(Account { uid: 101, gid: 104 })
        );
        assert_eq!(find(users, "nobody"), None);
        assert_eq!(find(users, "evil"), None);
    }
}
