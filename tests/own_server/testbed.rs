//! A state directory for one test, and what the system shows of its servers: files and processes.
//!
//! These tests assert what ebbtide leaves on the machine, so they read `/proc` and the file system
//! and not ebbtide's own reports. Each test has a state directory of its own, because leftovers of
//! one test could otherwise not be distinguished from the servers of another.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use crate::running_server::{RunningServer, has_living_shells};
use crate::support::process::{Process, processes};
use crate::support::sql::run;
use crate::support::wait::{HANG_LIMIT, wait_until_none};
use crate::support::{Scratch, names_in, wait_until};
use crate::worker::Worker;

/// A directory with a state directory, a configuration and a migration, which workers share.
#[derive(Debug)]
pub(crate) struct Testbed {
    scratch: Scratch,
    linger: Duration,
    storage: Option<&'static str>,
    cache: &'static str,
    workers: AtomicU32,
}

impl Testbed {
    /// A testbed whose servers end as soon as no process uses them.
    ///
    /// If an earlier test has prepared a cluster in the shared state directory, the testbed uses
    /// that cluster, and its servers start without `initdb`.
    pub(crate) fn new() -> Self {
        let testbed = Self::without_cache();
        let harness = testbed.scratch.builder().build().unwrap();
        let shared_state = harness.plan().get("state_dir").unwrap().value;
        let cache = Path::new(&shared_state).join("cache");
        if cache.is_dir() {
            std::fs::create_dir(testbed.state()).unwrap();
            // Hard links: supervisors only read the prepared cluster, and copying it takes as long
            // as `initdb`.
            let linked = Command::new("cp")
                .arg("-al")
                .arg(cache)
                .arg(testbed.state())
                .output()
                .unwrap();
            // Hard links do not cross file systems. Without them, the first server runs `initdb`.
            if !linked.status.success() {
                std::fs::remove_dir_all(testbed.state()).unwrap();
            }
            // Those of the shared server would count for the limits of the files.
            for file in testbed.saved() {
                std::fs::remove_file(file).unwrap();
            }
        }
        testbed
    }

    /// A testbed whose first server has to run `initdb`.
    pub(crate) fn without_cache() -> Self {
        let scratch = Scratch::new();
        scratch.write(
            "migrations/1_things.sql",
            "create table things (id bigserial primary key, name text unique);",
        );
        Self {
            scratch,
            linger: Duration::ZERO,
            storage: None,
            cache: "never",
            workers: AtomicU32::new(0),
        }
    }

    pub(crate) fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    pub(crate) fn storage(self, storage: &'static str) -> Self {
        Self {
            storage: Some(storage),
            ..self
        }
    }

    /// A testbed whose servers save their data when they end.
    pub(crate) fn saving(self) -> Self {
        Self {
            cache: "auto",
            ..self
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.scratch.write(name, text)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    /// Writes a migration that sleeps while the returned file exists.
    ///
    /// The file is no part of the migration. So a process that migrates after the file was deleted
    /// needs the same template as one that sleeps.
    pub(crate) fn write_sleeping_migration(&self, name: &str) -> PathBuf {
        let slow = self.write("slow", "");
        let sleep = format!(
            "select pg_sleep(600) from pg_stat_file('{}', true) as slow where slow.size is not null;",
            slow.display()
        );
        self.write(&format!("migrations/{name}"), &sleep);
        slow
    }

    /// Kills a worker whose build sleeps while the file `slow` exists, and deletes the file. Asserts
    /// that the next worker uses the same server and repeats the build.
    #[track_caller]
    pub(crate) fn repeat_killed_build(&self, killed: Worker, slow: &Path) -> Worker {
        killed.kill();
        std::fs::remove_file(slow).unwrap();
        let mut next = self.worker();
        assert_eq!(
            [next.execute("start"), next.execute("provision")],
            ["reused", "built"]
        );
        next.execute("open");
        next
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    /// A worker with further environment variables, which override the usual ones.
    pub(crate) fn worker_with(&self, variables: &[(&str, PathBuf)]) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        let environment = |command: &mut Command| {
            // Only servers of this backend are processes of this machine.
            command.env("EBBTIDE_BACKEND", "native");
            command.env("EBBTIDE_STATE_DIR", self.state());
            command.env("EBBTIDE_CONFIG", self.path("ebbtide.toml"));
            command.env("EBBTIDE_LINGER", format!("{}ms", self.linger.as_millis()));
            command
                .env("EBBTIDE_MIGRATIONS", self.path("migrations"))
                .env("EBBTIDE_SEEDS", "none");
            command.env("EBBTIDE_CACHE", self.cache);
            if let Some(storage) = self.storage {
                command.env("EBBTIDE_STORAGE", storage);
            }
            command.envs(variables.iter().map(|(name, value)| (name, value)));
        };
        Worker::start(environment, self.path(&format!("worker.{number}")))
    }

    /// An ordinary user's id, and a worker that runs as this user, with a state directory of its
    /// own.
    ///
    /// Returns `None` unless this process is root and the user can run this executable.
    pub(crate) fn worker_of_another_user(&self) -> Option<(u32, Worker)> {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find(|line| line.starts_with("nobody:"))?;
        let id = |at: usize| user.split(':').nth(at)?.parse().ok();
        let (uid, gid): (u32, u32) = (id(2)?, id(3)?);
        let executable = std::env::current_exe().unwrap();
        let may_run = Command::new(&executable)
            .arg("--list")
            .uid(uid)
            .gid(gid)
            .output();
        if !rustix::process::geteuid().is_root()
            || !may_run.is_ok_and(|output| output.status.success())
        {
            return None;
        }
        let home = self.path("other");
        std::fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(uid), Some(gid)).unwrap();
        let environment = |command: &mut Command| {
            command
                .uid(uid)
                .gid(gid)
                .current_dir("/")
                .env("EBBTIDE_BACKEND", "native")
                .env("EBBTIDE_LINGER", "0s")
                .env("EBBTIDE_CACHE", "never");
            command
                .env("EBBTIDE_STATE_DIR", home.join("state"))
                .env("EBBTIDE_CONFIG", self.path("ebbtide.toml"));
            command
                .env("EBBTIDE_MIGRATIONS", self.path("migrations"))
                .env("EBBTIDE_SEEDS", "none");
            command.env_remove("XDG_RUNTIME_DIR");
        };
        Some((uid, Worker::start(environment, self.path("worker.other"))))
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.state_dir()
    }

    pub(crate) fn servers(&self) -> PathBuf {
        self.state().join("servers")
    }

    /// The files with the saved data of ended servers.
    pub(crate) fn saved(&self) -> Vec<PathBuf> {
        let cache = self.state().join("cache");
        names_in(&cache)
            .into_iter()
            .filter(|name| name.starts_with("prepared-"))
            .map(|name| cache.join(name))
            .collect()
    }

    /// Everything in the directory of servers that is a directory.
    pub(crate) fn instances(&self) -> Vec<PathBuf> {
        let servers = self.servers();
        names_in(&servers)
            .into_iter()
            .map(|name| servers.join(name))
            .filter(|path| path.is_dir())
            .collect()
    }

    /// Waits until exactly one server runs with both shells, and returns it.
    #[track_caller]
    pub(crate) fn server(&self) -> RunningServer {
        wait_until("there is one server", || {
            let instances = self.instances();
            instances.len() == 1
                && self.postmasters().len() == 1
                && has_living_shells(&instances[0])
        });
        RunningServer::read(&self.instances()[0])
    }

    /// A worker with an open `Tx`, and the one server, which the worker uses.
    #[track_caller]
    pub(crate) fn server_in_use(&self) -> (Worker, RunningServer) {
        let mut worker = self.worker();
        worker.execute("open");
        (worker, self.server())
    }

    /// Processes that belong to this testbed's servers.
    ///
    /// They name a path of the state directory as an argument, or their working directory is there
    /// or in the data directory in memory.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let state = self.state();
        let belongs = |process: &Process| {
            let below = |text: &str| text.starts_with(&*state.to_string_lossy());
            process.arguments.iter().any(|argument| below(argument))
                || below(&process.working_dir)
                || self.is_in_memory(&process.working_dir)
        };
        processes().into_iter().filter(belongs).collect()
    }

    /// The postmasters. PostgreSQL's other processes change their command line.
    pub(crate) fn postmasters(&self) -> Vec<Process> {
        self.processes()
            .into_iter()
            .filter(|process| process.arguments[0].ends_with("/postgres"))
            .collect()
    }

    /// The supervisors and the deputies of this testbed's servers.
    pub(crate) fn shells(&self) -> Vec<Process> {
        let is_shell = |process: &Process| {
            process
                .arguments
                .iter()
                .any(|argument| argument == "ebbtide-supervisor")
        };
        self.processes().into_iter().filter(is_shell).collect()
    }

    /// The supervisors: the shells that an instance names as its owner.
    ///
    /// A complete instance names the owner in the file `owner`. The name of an incomplete one, or
    /// of one that is being deleted, ends with `.of.PID.START`.
    pub(crate) fn supervisors(&self) -> Vec<Process> {
        let owners = self.instances().into_iter().filter_map(|dir| {
            let name = dir.file_name()?.to_string_lossy().into_owned();
            let owner = match name.split_once(".of.") {
                Some((_, owner)) => owner.to_owned(),
                None => std::fs::read_to_string(dir.join("owner")).ok()?,
            };
            Some(owner.split('.').next()?.to_owned())
        });
        let owners: Vec<String> = owners.collect();
        self.shells()
            .into_iter()
            .filter(|process| owners.contains(&process.pid))
            .collect()
    }

    /// The names of this testbed's data directories in memory.
    fn data_dirs_in_memory(&self) -> Vec<String> {
        names_in(&memory_dir())
            .into_iter()
            .filter(|name| name.starts_with(&self.memory_prefix()))
            .collect()
    }

    fn is_in_memory(&self, dir: &str) -> bool {
        dir.starts_with(&*memory_dir().join(self.memory_prefix()).to_string_lossy())
    }

    /// The prefix of the names of data directories in memory: the state directory's device and
    /// inode.
    fn memory_prefix(&self) -> String {
        match std::fs::metadata(self.state()) {
            Ok(found) => format!("{:x}-{:x}.", found.dev(), found.ino()),
            Err(_) => "no state directory yet".into(),
        }
    }

    /// What exists of this testbed's servers: files, processes and data in memory.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = names_in(&self.servers());
        if !left.is_empty() {
            // The caller polls until nothing is left. So while instances exist, the more expensive
            // scan of all processes is not needed.
            return left;
        }
        left.extend(
            self.processes()
                .iter()
                .map(|process| format!("{process:?}")),
        );
        left.extend(self.data_dirs_in_memory());
        left
    }

    #[track_caller]
    pub(crate) fn wait_until_nothing_is_left(&self) {
        wait_until_none(HANG_LIMIT, || self.leftovers());
    }

    /// Waits until the server answers, and returns a superuser's session.
    pub(crate) async fn admin(&self) -> PgConnection {
        let dir = self.instances().remove(0);
        let options = PgConnectOptions::new_without_pgpass()
            .socket(dir)
            .port(5432)
            .ssl_mode(PgSslMode::Disable);
        let options = options.username("postgres").database("postgres");
        for _ in 0..500 {
            if let Ok(connection) = PgConnection::connect_with(&options).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server must answer within 10 s");
    }

    /// Ends the servers without waiting for their linger.
    pub(crate) fn end_servers(self) {
        for supervisor in self.supervisors() {
            supervisor.signal(Signal::TERM);
        }
        self.wait_until_nothing_is_left();
    }
}

/// Drops all databases that ebbtide has created on a server, templates too. `admin_url` is the URL
/// of another database there.
pub(crate) async fn drop_all_databases(admin_url: &str) {
    let mut admin = PgConnection::connect(admin_url).await.unwrap();
    let names = "select datname::text from pg_database where datname ~ '^ebbtide_'";
    let names: Vec<String> = sqlx::query_scalar(names)
        .fetch_all(&mut admin)
        .await
        .unwrap();
    for name in names {
        for statement in [
            format!("alter database {name} is_template false"),
            format!("drop database {name} with (force)"),
        ] {
            run(&mut admin, &statement).await.unwrap();
        }
    }
    admin.close().await.unwrap();
}

/// Waits until a query for a number returns the expected one.
pub(crate) async fn wait_for_count(admin: &mut PgConnection, query: &'static str, expected: i64) {
    let mut found = None;
    let deadline = Instant::now() + HANG_LIMIT;
    while Instant::now() < deadline {
        let count: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut *admin)
            .await
            .unwrap();
        if count == expected {
            return;
        }
        found = Some(count);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{query}: expected {expected} within {HANG_LIMIT:?}, found {found:?}");
}

fn memory_dir() -> PathBuf {
    PathBuf::from(format!(
        "/dev/shm/ebbtide-{}",
        rustix::process::geteuid().as_raw()
    ))
}
