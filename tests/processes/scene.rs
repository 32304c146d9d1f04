//! A state directory of its own, and what is to be seen of it from outside: files, processes, shared memory.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::puppet::Puppet;
use super::support::{Scratch, names_in, wait_until};

/// Units of a process's start time in a second, the same on all of Linux's machines.
const USER_HZ: u64 = 100;

/// A directory with a state directory, a configuration and a migration, on which puppets play.
#[derive(Debug)]
pub(crate) struct Scene {
    scratch: Scratch,
    linger: Duration,
    storage: Option<&'static str>,
    puppets: AtomicU32,
}

impl Scene {
    /// A scene whose servers go as soon as nobody uses them, and start quickly if other tests have run before.
    pub(crate) fn new() -> Self {
        let scene = Self::cold();
        let cache = scene
            .scratch
            .builder()
            .build()
            .unwrap()
            .plan()
            .state_dir
            .join("cache");
        if cache.is_dir() {
            std::fs::create_dir(scene.state()).unwrap();
            // Links, because the prepared data is only ever read, and writing it takes as long as making it.
            let linked = Command::new("cp")
                .arg("-al")
                .arg(cache)
                .arg(scene.state())
                .output()
                .unwrap();
            if !linked.status.success() {
                std::fs::remove_dir_all(scene.state()).unwrap();
            }
        }
        scene
    }

    /// A scene whose first server has to prepare everything.
    pub(crate) fn cold() -> Self {
        let scratch = Scratch::new();
        scratch.write(
            "migrations/1_things.sql",
            "create table things (id bigserial primary key, name text unique);",
        );
        Self {
            scratch,
            linger: Duration::ZERO,
            storage: None,
            puppets: AtomicU32::new(0),
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

    pub(crate) fn puppet(&self) -> Puppet {
        self.puppet_with(&[])
    }

    /// A puppet for which some variables are different.
    pub(crate) fn puppet_with(&self, variables: &[(&str, PathBuf)]) -> Puppet {
        let number = self.puppets.fetch_add(1, Ordering::Relaxed);
        let environment = |command: &mut Command| {
            // What can be seen of a server from outside is so of this backend alone.
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
        Puppet::start(environment, self.path(&format!("puppet.{number}")))
    }

    /// An ordinary user's number, and a puppet of theirs with a state directory of its own. Nothing where this is not root, or that
    /// user cannot run this executable.
    pub(crate) fn puppet_of_another_user(&self) -> Option<(u32, Puppet)> {
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
        Some((uid, Puppet::start(environment, self.path("puppet.other"))))
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

    /// The one server, while it runs and when the one before has gone.
    #[track_caller]
    pub(crate) fn server(&self) -> Running {
        wait_until("there is one server", || {
            let instances = self.instances();
            instances.len() == 1 && self.postmasters().len() == 1 && is_looked_after(&instances[0])
        });
        Running::on(&self.instances()[0])
    }

    /// Processes that work for this scene's servers: they name its state directory as an argument or work below it.
    pub(crate) fn processes(&self) -> Vec<Seen> {
        let state = self.state();
        let ours = |seen: &Seen| {
            let below = |text: &str| text.starts_with(&*state.to_string_lossy());
            seen.words.iter().any(|word| below(word))
                || below(&seen.dir)
                || self.memory_holds(&seen.dir)
        };
        processes().into_iter().filter(ours).collect()
    }

    /// PostgreSQL's first processes: the others have another command line.
    pub(crate) fn postmasters(&self) -> Vec<Seen> {
        self.processes()
            .into_iter()
            .filter(|seen| seen.words[0].ends_with("/postgres"))
            .collect()
    }

    /// Shells that look after this scene's servers: the supervisors and their deputies.
    pub(crate) fn shells(&self) -> Vec<Seen> {
        let named = |seen: &Seen| seen.words.iter().any(|word| word == "ebbtide-supervisor");
        self.processes().into_iter().filter(named).collect()
    }

    /// The shells that an instance names as its owner, in its file or in its own name.
    pub(crate) fn supervisors(&self) -> Vec<Seen> {
        let owners = self.instances().into_iter().filter_map(|dir| {
            let name = dir.file_name()?.to_string_lossy().into_owned();
            let owner = match name.split_once(".of.") {
                Some((_, mark)) => mark.to_owned(),
                None => std::fs::read_to_string(dir.join("owner")).ok()?,
            };
            Some(owner.split('.').next()?.to_owned())
        });
        let owners: Vec<String> = owners.collect();
        self.shells()
            .into_iter()
            .filter(|seen| owners.contains(&seen.pid))
            .collect()
    }

    /// Data directories of this scene in memory.
    fn data_in_memory(&self) -> Vec<String> {
        names_in(&memory())
            .into_iter()
            .filter(|name| name.starts_with(&self.mark()))
            .collect()
    }

    fn memory_holds(&self, dir: &str) -> bool {
        dir.starts_with(&*memory().join(self.mark()).to_string_lossy())
    }

    /// The name of every data directory in memory begins with its state directory's device and inode.
    fn mark(&self) -> String {
        match std::fs::metadata(self.state()) {
            Ok(found) => format!("{:x}-{:x}.", found.dev(), found.ino()),
            Err(_) => "no state directory yet".into(),
        }
    }

    /// What is there of servers: files, processes, data in memory.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = names_in(&self.servers());
        if !left.is_empty() {
            // Reason enough to look again, and cheaper.
            return left;
        }
        left.extend(self.processes().iter().map(|seen| format!("{seen:?}")));
        left.extend(self.data_in_memory());
        left
    }

    #[track_caller]
    pub(crate) fn wait_until_nothing_is_left(&self) {
        let began = Instant::now();
        loop {
            let left = self.left();
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

    /// A superuser's session on the server, as soon as it answers.
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
        panic!("the server does not answer");
    }

    /// Ends the servers before their linger is over.
    pub(crate) fn dismiss(self) {
        for supervisor in self.supervisors() {
            supervisor.signal(Signal::TERM);
        }
        self.wait_until_nothing_is_left();
    }
}

/// Waits until a query that counts returns this number.
pub(crate) async fn wait_for(admin: &mut PgConnection, query: &'static str, wanted: i64) {
    let mut found = None;
    for _ in 0..1500 {
        let count: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut *admin)
            .await
            .unwrap();
        if count == wanted {
            return;
        }
        found = Some(count);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{query}: {found:?} and not {wanted} for half a minute");
}

/// Whether the supervisor and the deputy that an instance names are two living processes.
pub(crate) fn is_looked_after(instance: &Path) -> bool {
    let [owner, deputy] = ["owner", "deputy"].map(|file| {
        let mark = std::fs::read_to_string(instance.join(file)).unwrap_or_default();
        mark.split('.').next().and_then(Seen::of)
    });
    owner.is_some() && deputy.is_some() && owner != deputy
}

fn memory() -> PathBuf {
    PathBuf::from(format!(
        "/dev/shm/ebbtide-{}",
        rustix::process::geteuid().as_raw()
    ))
}

/// A running server: all that has to go with it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) instance: PathBuf,
    pub(crate) supervisor: Seen,
    /// Takes over when the supervisor is killed.
    pub(crate) deputy: Seen,
    pub(crate) postmaster: Seen,
    data: PathBuf,
    /// The System V segment by which PostgreSQL knows its own kin.
    segment: String,
}

impl Running {
    fn on(instance: &Path) -> Self {
        let shell = |file: &str| {
            let mark = std::fs::read_to_string(instance.join(file)).unwrap();
            Seen::of(mark.split('.').next().unwrap()).unwrap()
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
            postmaster: Seen::of(lines[0]).unwrap(),
            data,
            segment,
        };
        assert_eq!(
            running.left().len(),
            6,
            "all of it can be seen: {running:?}"
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

    pub(crate) fn left(&self) -> Vec<String> {
        let paths = [&self.instance, &self.data]
            .into_iter()
            .filter(|path| path.symlink_metadata().is_ok());
        let processes = [&self.supervisor, &self.deputy, &self.postmaster]
            .into_iter()
            .filter(|seen| seen.lives());
        paths
            .map(|path| path.display().to_string())
            .chain(processes.map(|seen| format!("{seen:?}")))
            .chain(segments_with(1, &self.segment))
            .collect()
    }

    /// Kills both shells before one can take over from the other.
    pub(crate) fn kill_shells(&self) {
        self.supervisor.signal(Signal::KILL);
        self.deputy.signal(Signal::KILL);
        wait_until("the killed shells have ended", || {
            !self.supervisor.lives() && !self.deputy.lives()
        });
    }

    pub(crate) fn lives(&self) -> bool {
        self.postmaster.lives() && self.instance.join("serving").exists()
    }

    #[track_caller]
    pub(crate) fn wait_until_gone(&self) {
        wait_until("all of the server is gone", || self.left().is_empty());
    }
}

/// A process, and the moment it started, so that the next one with its number is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pid: String,
    started: String,
    pub(crate) words: Vec<String>,
    dir: String,
}

impl Seen {
    /// Nothing for a process that has ended.
    fn of(pid: &str) -> Option<Self> {
        let dir = Path::new("/proc").join(pid);
        let started = started(pid)?;
        let words = std::fs::read(dir.join("cmdline")).ok()?;
        let words = words
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let dir = std::fs::read_link(dir.join("cwd")).unwrap_or_default();
        Some(Self {
            pid: pid.to_owned(),
            started,
            words,
            dir: dir.to_string_lossy().into_owned(),
        })
    }

    /// System V segments that it made. An older one is of an earlier process with the same number.
    pub(crate) fn segments(&self) -> Vec<String> {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let booted: u64 = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .unwrap()
            .parse()
            .unwrap();
        let began = booted + self.started.parse::<u64>().unwrap() / USER_HZ - 1;
        let made = |segment: &String| {
            let words: Vec<&str> = segment.split_whitespace().collect();
            words[14].parse::<u64>().unwrap() >= began
        };
        segments_with(4, &self.pid)
            .into_iter()
            .filter(made)
            .collect()
    }

    pub(crate) fn lives(&self) -> bool {
        started(&self.pid).as_ref() == Some(&self.started)
    }

    /// To a process of this scene only. When it has ended meanwhile, all is well.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.parse().unwrap()).unwrap();
        if self.lives() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        wait_until("the killed process has ended", || !self.lives());
    }
}

/// System V segments by a column of the system's table: 1 is the number, 4 the process that made it.
fn segments_with(column: usize, value: &str) -> Vec<String> {
    let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let wanted = segments
        .lines()
        .filter(|line| line.split_whitespace().nth(column) == Some(value));
    wanted.map(|line| format!("segment {line}")).collect()
}

fn started(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // A zombie has ended.
    (!["Z", "X"].contains(&fields[0])).then(|| fields[19].to_owned())
}

fn processes() -> Vec<Seen> {
    let numbers = names_in(Path::new("/proc"))
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.filter_map(|pid| Seen::of(&pid)).collect()
}
