//! A state directory for one test, and what the system shows of its servers: files, processes and
//! shared memory.
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

use rustix::process::{Pid, Signal, kill_process};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use crate::support::{Scratch, names_in, wait_until};
use crate::worker::Worker;

/// The unit of start times in `/proc/PID/stat`: clock ticks per second, 100 on every usual Linux.
const USER_HZ: u64 = 100;

/// A directory with a state directory, a configuration and a migration, which workers share.
#[derive(Debug)]
pub(crate) struct Testbed {
    scratch: Scratch,
    linger: Duration,
    storage: Option<&'static str>,
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

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.scratch.write(name, text)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
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
                .env("EBBTIDE_LINGER", "0s");
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
        let began = Instant::now();
        loop {
            let left = self.leftovers();
            if left.is_empty() {
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "left after 30 s: {left:#?}"
            );
            std::thread::sleep(Duration::from_millis(25));
        }
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

/// Waits until a query for a number returns the expected one.
pub(crate) async fn wait_for_count(admin: &mut PgConnection, query: &'static str, expected: i64) {
    let mut found = None;
    for _ in 0..1500 {
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
    panic!("{query}: expected {expected} within 30 s, found {found:?}");
}

/// Whether the supervisor and the deputy that an instance names are two living processes.
///
/// Both files name the same process for a moment: after a deputy has become the supervisor and
/// before it has written its new deputy's mark.
pub(crate) fn has_living_shells(instance: &Path) -> bool {
    let [owner, deputy] = ["owner", "deputy"].map(|file| {
        let mark = std::fs::read_to_string(instance.join(file)).unwrap_or_default();
        mark.split('.').next().and_then(Process::find)
    });
    owner.is_some() && deputy.is_some() && owner != deputy
}

fn memory_dir() -> PathBuf {
    PathBuf::from(format!(
        "/dev/shm/ebbtide-{}",
        rustix::process::geteuid().as_raw()
    ))
}

/// A running server, and everything that must disappear with it.
#[derive(Debug)]
pub(crate) struct RunningServer {
    pub(crate) instance: PathBuf,
    pub(crate) supervisor: Process,
    /// Becomes the supervisor when the supervisor is killed.
    pub(crate) deputy: Process,
    pub(crate) postmaster: Process,
    data: PathBuf,
    /// The identifier of the System V segment by which a postmaster detects processes of an earlier
    /// one on the same data directory. It outlives a killed postmaster.
    segment: String,
}

impl RunningServer {
    fn read(instance: &Path) -> Self {
        let shell = |file: &str| {
            let mark = std::fs::read_to_string(instance.join(file)).unwrap();
            Process::find(mark.split('.').next().unwrap()).unwrap()
        };
        let data = std::fs::read_link(instance.join("lanes"))
            .unwrap()
            .parent()
            .unwrap()
            .to_owned();
        let pid_file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
        let lines: Vec<&str> = pid_file.lines().collect();
        let segment = lines[6].split_whitespace().nth(1).unwrap().to_owned();
        let running = Self {
            instance: instance.to_owned(),
            supervisor: shell("owner"),
            deputy: shell("deputy"),
            postmaster: Process::find(lines[0]).unwrap(),
            data,
            segment,
        };
        // Otherwise a later assertion that nothing is left would prove nothing.
        assert_eq!(
            running.leftovers().len(),
            6,
            "every part of the server must be found: {running:?}"
        );
        running
    }

    pub(crate) fn identity(&self) -> String {
        self.instance
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        let paths = [&self.instance, &self.data]
            .into_iter()
            .filter(|path| path.symlink_metadata().is_ok());
        let processes = [&self.supervisor, &self.deputy, &self.postmaster]
            .into_iter()
            .filter(|process| process.is_alive());
        paths
            .map(|path| path.display().to_string())
            .chain(processes.map(|process| format!("{process:?}")))
            .chain(segments_with(1, &self.segment))
            .collect()
    }

    /// Kills both shells before one of them can replace the other.
    ///
    /// The signals are sent without a wait between them: each shell polls the other once a second.
    pub(crate) fn kill_shells(&self) {
        self.supervisor.signal(Signal::KILL);
        self.deputy.signal(Signal::KILL);
        wait_until("the killed shells have ended", || {
            !self.supervisor.is_alive() && !self.deputy.is_alive()
        });
    }

    /// Whether the postmaster lives and the instance accepts further processes.
    pub(crate) fn is_running(&self) -> bool {
        self.postmaster.is_alive() && self.instance.join("serving").exists()
    }

    #[track_caller]
    pub(crate) fn wait_until_gone(&self) {
        wait_until("nothing of the server is left", || {
            self.leftovers().is_empty()
        });
    }
}

/// A process. Its start time distinguishes it from a later process with the same pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pid: String,
    start_time: String,
    pub(crate) arguments: Vec<String>,
    working_dir: String,
}

impl Process {
    /// Returns `None` for a process that has ended.
    fn find(pid: &str) -> Option<Self> {
        let dir = Path::new("/proc").join(pid);
        let start_time = start_time(pid)?;
        let arguments = std::fs::read(dir.join("cmdline")).ok()?;
        let arguments = arguments
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        let working_dir = std::fs::read_link(dir.join("cwd")).unwrap_or_default();
        Some(Self {
            pid: pid.to_owned(),
            start_time,
            arguments,
            working_dir: working_dir.to_string_lossy().into_owned(),
        })
    }

    /// System V segments that this process created.
    ///
    /// The system's table has the creator's pid but not its start time. A segment that is older
    /// than this process belongs to an earlier process with the same pid.
    pub(crate) fn shared_memory(&self) -> Vec<String> {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let booted: u64 = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .unwrap()
            .parse()
            .unwrap();
        let began = booted + self.start_time.parse::<u64>().unwrap() / USER_HZ - 1;
        let made = |segment: &String| {
            let words: Vec<&str> = segment.split_whitespace().collect();
            words[14].parse::<u64>().unwrap() >= began
        };
        segments_with(4, &self.pid)
            .into_iter()
            .filter(made)
            .collect()
    }

    pub(crate) fn is_alive(&self) -> bool {
        start_time(&self.pid).as_ref() == Some(&self.start_time)
    }

    /// Sends a signal, unless the process has ended and another one may have its pid.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.parse().unwrap()).unwrap();
        if self.is_alive() {
            // It may have ended since the line above, which is as good.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills the process and waits for its end.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        wait_until("the killed process has ended", || !self.is_alive());
    }
}

/// System V segments with a value in a column of the system's table. Column 1 is the identifier,
/// column 4 the creator's pid.
fn segments_with(column: usize, value: &str) -> Vec<String> {
    let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let wanted = segments
        .lines()
        .filter(|line| line.split_whitespace().nth(column) == Some(value));
    wanted.map(|line| format!("segment {line}")).collect()
}

/// A process's start time, in clock ticks since the machine booted. `None` if it has ended.
///
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn start_time(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // A zombie (Z) or dead (X) process has ended, and only its parent has not waited for it yet.
    (!["Z", "X"].contains(&fields[0])).then(|| fields[19].to_owned())
}

fn processes() -> Vec<Process> {
    let numbers = names_in(Path::new("/proc"))
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.filter_map(|pid| Process::find(&pid)).collect()
}
