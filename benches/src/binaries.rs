//! A server that `initdb` and `pg_ctl` start, as scripts do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::Error;
use crate::account::Account;

/// A running server with one superuser `postgres`, who needs no password. Its data is removed when
/// the value is dropped.
#[derive(Debug)]
pub(crate) struct PlainServer {
    dir: PathBuf,
    account: Account,
    binaries: PathBuf,
}

impl PlainServer {
    /// Starts a server in a directory that belongs to the account. `options` are those of
    /// `postgres`, beside the directory for its socket.
    pub(crate) fn start(dir: &Path, account: Account, options: &str) -> Result<Self, Error> {
        Self::start_with(bin_dir()?, dir, account, options)
    }

    /// Like [`start`](Self::start), with the server programs in another directory.
    pub(crate) fn start_with(
        binaries: PathBuf,
        dir: &Path,
        account: Account,
        options: &str,
    ) -> Result<Self, Error> {
        let server = Self {
            dir: dir.to_owned(),
            account,
            binaries,
        };
        let options = format!("-k {} {options}", dir.display());
        let log = dir.join("log");
        server.program("initdb", &["--auth=trust", "--username=postgres"])?;
        server.program(
            "pg_ctl",
            &["-w", "-l", &log.to_string_lossy(), "-o", &options, "start"],
        )?;
        Ok(server)
    }

    /// Options for a connection through the socket.
    pub(crate) fn options(&self, port: u16) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.dir)
            .port(port)
            .username("postgres")
            .database("postgres")
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn program(&self, program: &str, arguments: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(self.binaries.join(program));
        command
            .args(arguments)
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.account.apply(&mut command);
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{program}: {status}").into()),
            Err(error) => Err(format!("{program}: {error}").into()),
        }
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        // After a failed start there may be no server. The programs print their own messages.
        if self.data().join("postmaster.pid").exists() {
            self.program("pg_ctl", &["-w", "-m", "immediate", "stop"])
                .ok();
        }
        std::fs::remove_dir_all(self.data()).ok();
    }
}

/// The directory of PostgreSQL's server programs.
pub(crate) fn bin_dir() -> Result<PathBuf, Error> {
    if let Some(dir) = std::env::var_os("EBBTIDE_PG_BIN") {
        return Ok(dir.into());
    }
    let mut dirs: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|dir| dir.join("initdb").exists())
        .collect();
    // Debian's directories are named after major versions.
    dirs.sort();
    if let Some(dir) = dirs.pop() {
        return Ok(dir);
    }
    let output = Command::new("pg_config").arg("--bindir").output();
    if let Ok(output) = output
        && output.status.success()
    {
        return Ok(String::from_utf8(output.stdout)?.trim().into());
    }
    Err("no `initdb`: install PostgreSQL, or set EBBTIDE_PG_BIN".into())
}

/// The time from `initdb` to the first row. `dir` belongs to the account and is empty.
pub(crate) async fn initdb_to_first_row(dir: &Path, account: Account) -> Result<Duration, Error> {
    let began = Instant::now();
    let server = PlainServer::start(dir, account, "-c listen_addresses=''")?;
    first_row(&server.options(5432)).await?;
    Ok(began.elapsed())
}

/// Connects and reads a row.
pub(crate) async fn first_row(options: &PgConnectOptions) -> Result<(), Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query("select 1").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
