//! The account that runs servers, if root runs the program: PostgreSQL refuses to run as root
//! (<https://www.postgresql.org/docs/current/postgres-user.html>).

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::Error;

/// The user and the group of the account `postgres`, or none if an ordinary account runs the
/// program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account(Option<(u32, u32)>);

impl Account {
    pub(crate) fn for_servers() -> Result<Self, Error> {
        if std::fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(Self(None));
        }
        let users = std::fs::read_to_string("/etc/passwd")?;
        let line = users
            .lines()
            .find(|line| line.starts_with("postgres:"))
            .ok_or("root needs an account `postgres` for servers")?;
        let mut fields = line.split(':').skip(2).map(str::parse::<u32>);
        let (Some(Ok(uid)), Some(Ok(gid))) = (fields.next(), fields.next()) else {
            return Err("/etc/passwd must have numeric ids for the user postgres".into());
        };
        Ok(Self(Some((uid, gid))))
    }

    /// Makes the account the owner of a file or directory.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        if let Some((uid, gid)) = self.0 {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Runs a command with the account's rights.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid).current_dir("/");
        }
    }
}
