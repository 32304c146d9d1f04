//! A project with a number of migrations, for processes that attach to its server.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ebbtide::Harness;
use ebbtide::config::{Backend, Cache};

use crate::Error;
use crate::scratch::Scratch;

/// The number of tables, whatever the number of migrations, so that the size is the same.
const TABLE_COUNT: u32 = 10;
/// How long a server or a container may take to end.
const END_TIMEOUT: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub(crate) struct Project {
    dir: PathBuf,
    /// The program that opens a `Tx`: `crates/compare/tests/attach.rs`.
    program: PathBuf,
}

impl Project {
    /// Writes the migrations. The server will end with the last process that uses it.
    pub(crate) fn new(scratch: &Scratch, name: &str, migrations: u32) -> Result<Self, Error> {
        let dir = scratch.dir(name)?;
        std::fs::create_dir(dir.join("migrations"))?;
        for number in 1..=migrations {
            let table = number % TABLE_COUNT;
            let mut sql = String::new();
            if number <= TABLE_COUNT {
                writeln!(
                    sql,
                    "create table t{table} (id bigint primary key, note text not null);"
                )?;
            } else {
                writeln!(sql, "comment on table t{table} is 'version {number}';")?;
            }
            std::fs::write(dir.join(format!("migrations/{number:04}_step.sql")), sql)?;
        }
        std::fs::write(dir.join("ebbtide.toml"), "")?;
        let program = crate::suite::test_binary("attach")?;
        Ok(Self { dir, program })
    }

    /// Adds a migration that inserts so many megabytes of rows.
    pub(crate) fn fill(&self, megabytes: u32) -> Result<(), Error> {
        // Seven rows of this length fit into a page of 8 KiB.
        let rows = megabytes * 1_000_000 / 8_192 * 7;
        let sql = format!(
            "create table filler (id bigint primary key, note text not null);\n\
             insert into filler select i, repeat('x', 1000) from generate_series(1, {rows}) as i;\n"
        );
        std::fs::write(self.dir.join("migrations/9999_fill.sql"), sql)?;
        Ok(())
    }

    /// Starts the server. It runs as long as the harness exists.
    pub(crate) async fn start(&self, cache: Cache) -> Result<Harness, Error> {
        let harness = Harness::builder()
            .backend(Backend::Native)
            .cache(cache)
            .state_dir(self.state())
            .linger(Duration::ZERO)
            .package_root(&self.dir)
            .config_file(self.dir.join("ebbtide.toml"))
            .build()?;
        harness.start().await?;
        Ok(harness)
    }

    /// The time from the start of a new process to the first row of its `Tx`.
    pub(crate) fn first_row(&self) -> Result<Duration, Error> {
        Ok(self.run()?.0)
    }

    /// The time from the start of a new process to its end.
    pub(crate) fn whole(&self) -> Result<Duration, Error> {
        Ok(self.run()?.1)
    }

    /// The time from the start of the first of some processes to the end of the last one.
    pub(crate) async fn at_once(&self, count: u32) -> Result<Duration, Error> {
        let began = Instant::now();
        let mut children = Children(Vec::new());
        for _ in 0..count {
            children
                .0
                .push(self.command().stdout(Stdio::null()).spawn()?);
        }
        while !children.ended()? {
            if began.elapsed() > END_TIMEOUT {
                return Err(format!("waited {END_TIMEOUT:?} for {count} processes").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(began.elapsed())
    }

    /// The largest resident memory of a process up to the first row of its `Tx`, in KiB.
    pub(crate) fn peak_memory(&self) -> Result<u64, Error> {
        let mut children = Children(vec![self.command().stdout(Stdio::piped()).spawn()?]);
        let child = &mut children.0[0];
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        // After this line the process still closes its `Tx`.
        let peak = crate::memory::status(child.id(), "VmHWM");
        child.wait()?;
        peak.ok_or_else(|| "the process ended before its memory was read".into())
    }

    fn run(&self) -> Result<(Duration, Duration), Error> {
        let began = Instant::now();
        let mut child = self.command().stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let first_row = began.elapsed();
        let status = child.wait()?;
        if status.success() && line == "first row\n" {
            Ok((first_row, began.elapsed()))
        } else {
            Err(format!("{}: {status}", self.program.display()).into())
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(&self.dir)
            .env("EBBTIDE_BACKEND", "native")
            .env("EBBTIDE_STATE_DIR", self.state())
            .env("EBBTIDE_LINGER", "0s")
            // The processes of one run of nextest have the same id.
            .env("NEXTEST_RUN_ID", self.dir.file_name().unwrap_or_default())
            .stdin(Stdio::null());
        command
    }

    /// Removes the state directory. No server of it may run.
    pub(crate) fn remove_state(&self) -> Result<(), Error> {
        std::fs::remove_dir_all(self.state())?;
        Ok(())
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Waits until the server has ended.
    pub(crate) async fn until_ended(&self) -> Result<(), Error> {
        until_no_server(&self.state()).await
    }
}

/// Running processes. They are killed when the value is dropped.
struct Children(Vec<Child>);

impl Children {
    /// Removes those that have ended, and returns whether none is left.
    fn ended(&mut self) -> Result<bool, Error> {
        let mut index = 0;
        while let Some(child) = self.0.get_mut(index) {
            match child.try_wait()? {
                None => index += 1,
                Some(status) if status.success() => drop(self.0.swap_remove(index)),
                Some(status) => return Err(format!("a process with a Tx: {status}").into()),
            }
        }
        Ok(self.0.is_empty())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // A child that has already ended needs no signal.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Waits until no server of a state directory is left.
pub(crate) async fn until_no_server(state: &Path) -> Result<(), Error> {
    let servers = state.join("servers");
    until("the end of the servers", || {
        let mut entries = std::fs::read_dir(&servers)
            .map_err(|error| format!("{}: {error}", servers.display()))?;
        Ok(entries.next().is_none())
    })
    .await
}

/// Waits until a condition holds.
///
/// # Errors
/// It does not hold within [`END_TIMEOUT`].
pub(crate) async fn until(
    what: &str,
    holds: impl Fn() -> Result<bool, Error>,
) -> Result<(), Error> {
    let began = Instant::now();
    while !holds()? {
        if began.elapsed() > END_TIMEOUT {
            return Err(format!("waited {END_TIMEOUT:?} for {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
