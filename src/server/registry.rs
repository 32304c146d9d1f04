//! Shares one server among all processes that want the same settings.
//!
//! Every server has an instance directory that its supervisor creates and removes. Its files tell its story:
//! `owner` holds the supervisor's mark, `deputy` that of the shell that takes over when the supervisor is killed,
//! `server` what a later start needs to take the server over when both were killed, `leases/` a file for each user,
//! `log` the server's output; `serving` is
//! renamed to `retiring` for the moment in which the supervisor decides to end, and is gone when the server died.
//! While the directory is half made or half removed, the owner's mark is a part of its name: it never lacks one.
//! A pointer file names the instance in use. A lock is held for start-up only.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::sharing::Sharing;
use super::state::StateDir;
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::names::{short_hash, short_id};
use crate::process::ProcessMark;
use crate::scarcity::Scarcity;
use crate::wait::Patience;

/// Raised whenever files in the state directory change their meaning.
const FORMAT: u32 = 3;
/// Stands before the owner's mark in the name of an instance directory that is half made or half removed.
const PASSING: &str = ".of.";

/// A file in the directory of a server that its users may use on, and that no process may join.
const SPOILT: &str = "spoilt";

/// What two plans must agree on to share a server.
#[derive(Debug, Clone)]
pub(crate) struct ServerKey(String);

impl ServerKey {
    /// A server of this machine's binaries.
    pub(crate) fn native(plan: &Plan, sharing: &Sharing) -> Self {
        Self::of(plan, sharing, &format!("native {:?}", plan.pg_bin.get()))
    }

    /// A container. What is not in the plan, such as which of several engines answered, is the same for all.
    #[cfg(feature = "container")]
    pub(crate) fn container(plan: &Plan, sharing: &Sharing) -> Self {
        Self::of(
            plan,
            sharing,
            &format!(
                "container {:?} {:?} {}",
                plan.image.get(),
                plan.engine,
                plan.cache.get()
            ),
        )
    }

    /// The choice between the two.
    #[cfg(feature = "container")]
    pub(crate) fn auto(plan: &Plan, sharing: &Sharing) -> Self {
        Self::of(plan, sharing, "auto")
    }

    fn of(plan: &Plan, sharing: &Sharing, backend: &str) -> Self {
        let mut wanted = format!(
            "{FORMAT} {} {backend} {:?} {:?} {:?} {:?}",
            env!("CARGO_PKG_VERSION"),
            plan.postgres.get(),
            plan.settings.get(),
            plan.storage.get(),
            plan.linger.get()
        );
        if let Some(contents) = sharing.contents() {
            wanted.push(' ');
            wanted.push_str(contents.as_str());
        }
        Self(short_hash(&wanted, 8))
    }

    pub(crate) fn new_instance(&self) -> String {
        format!("{}.{}", self.0, short_id())
    }

    fn pointer(&self, state: &StateDir) -> PathBuf {
        state.servers().join(format!("{}.json", self.0))
    }
}

/// The pointer file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pointer {
    pub(crate) instance: String,
    pub(crate) version_num: u32,
    pub(crate) version: String,
    /// How many connections tests may have, so that a process need not ask the server.
    pub(crate) connections: usize,
    /// Where a container's port is published; none for a server with a socket in the instance directory.
    pub(crate) port: Option<PublishedPort>,
    /// Why this backend runs it.
    pub(crate) reason: String,
}

/// How to reach a server in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishedPort {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) password: String,
    /// The container's name.
    pub(crate) container: String,
    /// The engine's address.
    pub(crate) engine: String,
}

/// The part of the state directory that concerns one server key.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) state: StateDir,
    pub(crate) key: ServerKey,
}

impl Registry {
    pub(crate) fn pointer_path(&self) -> PathBuf {
        self.key.pointer(&self.state)
    }

    pub(crate) fn read_pointer(&self) -> Option<Pointer> {
        serde_json::from_slice(&std::fs::read(self.pointer_path()).ok()?).ok()
    }

    pub(crate) fn write_pointer(&self, pointer: &Pointer) -> Result<()> {
        let path = self.pointer_path();
        // Goes with the instance, if we are killed between the two steps.
        let draft = self.instance(&pointer.instance).dir.join("pointer");
        let text = serde_json::to_vec(pointer).expect("a pointer holds plain values");
        let published = std::fs::write(&draft, text)
            // Whatever the umask is: the supervisor reads it, as the server's user, before it removes it.
            .and_then(|()| std::fs::set_permissions(&draft, Permissions::from_mode(0o644)))
            .and_then(|()| std::fs::rename(&draft, &path));
        published.map_err(|error| {
            // A draft that could not be written is of no use; the write's own error is the one to report.
            let _ = std::fs::remove_file(&draft);
            let gone = error.kind() == std::io::ErrorKind::NotFound;
            let kind = if gone {
                ErrorKind::ServerLost
            } else {
                ErrorKind::Io
            };
            Error::new(kind, format!("{} could not be written", path.display())).with_source(error)
        })
    }

    /// The pointer file of the instance's own key, which may be another than this registry's.
    pub(crate) fn pointer_path_of(&self, instance: &Instance) -> PathBuf {
        let name = instance.name();
        let key = name.split('.').next().unwrap_or_default().to_owned();
        ServerKey(key).pointer(&self.state)
    }

    /// Removes the pointer that names a removed instance. It may already name a successor.
    pub(crate) fn forget(&self, instance: &Instance) {
        let path = self.pointer_path_of(instance);
        let pointer: Option<Pointer> = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        if pointer.is_some_and(|pointer| pointer.instance == instance.name()) {
            // A pointer to an instance that is not there is ignored; the next start replaces it.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Takes the start-up lock, waiting for another process's start-up to finish.
    pub(crate) async fn lock(&self, limit: Duration) -> Result<StartLock> {
        self.lock_named(
            &self.key.0,
            "server start: another process is starting the server",
            limit,
        )
        .await
    }

    /// Takes the lock that one sweep of this state directory holds, whatever its key: two at once could take one server over
    /// twice.
    pub(crate) async fn sweep_lock(&self, limit: Duration) -> Result<StartLock> {
        self.lock_named(
            "sweep",
            "server start: another process removes dead servers",
            limit,
        )
        .await
    }

    async fn lock_named(&self, name: &str, step: &str, limit: Duration) -> Result<StartLock> {
        let path = self.state.locks().join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| {
                Error::new(
                    ErrorKind::StateDir,
                    format!("{} could not be opened", path.display()),
                )
                .with_source(error)
            })?;
        // Whatever the umask was: later processes of this user open it, too.
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|error| {
                Error::new(
                    ErrorKind::StateDir,
                    format!("{} is not ours", path.display()),
                )
                .with_source(error)
            })?;
        let mut patience = Patience::new(step, limit);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(StartLock { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    patience
                        .pause(format!("{} is locked", path.display()))
                        .await?
                }
                Err(TryLockError::Error(error)) => {
                    let message = format!("{} cannot be locked", path.display());
                    return Err(Error::new(ErrorKind::StateDir, message).with_source(error));
                }
            }
        }
    }

    pub(crate) fn instance(&self, name: &str) -> Instance {
        Instance {
            dir: self.state.servers().join(name),
        }
    }

    /// Every instance directory, of this key and of others, also half made and half removed ones.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        let Ok(entries) = std::fs::read_dir(self.state.servers()) else {
            return Vec::new();
        };
        let dirs = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        dirs.map(|entry| Instance { dir: entry.path() }).collect()
    }

    pub(crate) fn is_of_this_key(&self, instance: &Instance) -> bool {
        instance.name().starts_with(&format!("{}.", self.key.0))
    }
}

/// Held during start-up; the lock ends with it, or with the process.
#[derive(Debug)]
pub(crate) struct StartLock {
    _file: File,
}

/// What the files of an instance say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Serving,
    /// The supervisor is about to end it, or to change its mind.
    Retiring,
    /// The server ended by itself; its supervisor keeps the log for those who ask.
    ServerDead,
    /// Its supervisor is making or removing the directory.
    Passing,
    /// Nobody looks after it any more.
    Orphaned,
    Gone,
}

/// One server's directory.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) dir: PathBuf,
}

/// Whether the process of a mark lives. One that a limit of our own keeps us from reading may be anybody's who does.
fn may_live(mark: std::io::Result<Option<ProcessMark>>) -> bool {
    match mark {
        Ok(mark) => mark.is_some_and(|owner| owner.is_alive()),
        Err(error) => Scarcity::of_open(&error).is_some(),
    }
}

impl Instance {
    pub(crate) fn name(&self) -> String {
        self.dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn health(&self) -> Health {
        if !self.dir.exists() {
            return Health::Gone;
        }
        // The deputy of a killed supervisor takes over within a second.
        if !may_live(self.mark()) && !may_live(self.mark_in("deputy")) {
            // Removed by its owner between two looks, it is no orphan.
            return if self.dir.exists() {
                Health::Orphaned
            } else {
                Health::Gone
            };
        }
        let has = |name: &str| self.dir.join(name).exists();
        if has(SPOILT) {
            return Health::ServerDead;
        }
        // A supervisor that changes its mind renames `retiring` back, perhaps between two looks.
        match (
            self.is_passing(),
            has("serving"),
            has("retiring"),
            has("serving"),
        ) {
            (true, ..) => Health::Passing,
            (false, true, ..) | (false, false, false, true) => Health::Serving,
            (false, false, true, _) => Health::Retiring,
            (false, false, false, false) => Health::ServerDead,
        }
    }

    /// The supervisor's mark, as far as it can be read.
    pub(crate) fn owner(&self) -> Option<ProcessMark> {
        self.mark().ok().flatten()
    }

    /// The supervisor's mark: in the directory's name while it is half made or half removed, else in a file.
    fn mark(&self) -> std::io::Result<Option<ProcessMark>> {
        match self.name().split_once(PASSING) {
            Some((_, mark)) => Ok(ProcessMark::parse(mark)),
            None => self.mark_in("owner"),
        }
    }

    fn mark_in(&self, file: &str) -> std::io::Result<Option<ProcessMark>> {
        std::fs::read_to_string(self.dir.join(file)).map(|text| ProcessMark::parse(&text))
    }

    /// Whether a living process uses the server, or it is kept until a moment that has not come.
    pub(crate) fn is_leased(&self) -> bool {
        match std::fs::read_dir(self.dir.join("leases")) {
            Ok(entries) => {
                let mut names = entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().into_string().ok());
                names.any(|name| LeaseName(name).is_valid())
            }
            // Its users are not known: it has some.
            Err(error) => Scarcity::of_open(&error).is_some(),
        }
    }

    fn is_passing(&self) -> bool {
        self.name().contains(PASSING)
    }

    /// Registers us as a user, if the server is still there to be used.
    ///
    /// The lease is written before the look: a supervisor that decides to end afterwards sees it.
    pub(crate) async fn lease(&self) -> Result<Option<ServerLease>> {
        let Ok(lease) = ServerLease::write(&self.dir.join("leases"), &LeaseName::process()) else {
            return Ok(None);
        };
        let mut patience = Patience::new(
            "server start: the previous server is ending",
            Duration::from_secs(20),
        );
        loop {
            match self.health() {
                Health::Serving => return Ok(Some(lease)),
                Health::Retiring => {
                    patience
                        .pause(format!("{} is retiring", self.dir.display()))
                        .await?
                }
                Health::ServerDead | Health::Passing | Health::Orphaned | Health::Gone => {
                    return Ok(None);
                }
            }
        }
    }

    /// Tells its keeper that nobody can use it any more.
    #[cfg(feature = "container")]
    pub(crate) fn give_up(&self) {
        // When the file is gone already, the keeper knows.
        let _ = std::fs::remove_file(self.dir.join("serving"));
    }

    /// What was written down before the first build, unless that is now.
    pub(super) fn first_state(&self, now: &str) -> Result<Option<String>> {
        let path = self.dir.join("first-state");
        let failed = |error| {
            Error::new(
                ErrorKind::ServerLost,
                format!("{} cannot be used", path.display()),
            )
            .with_source(error)
        };
        match std::fs::read_to_string(&path) {
            Ok(first) => return Ok(Some(first)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Under its name it is complete, also when this process is killed.
        let draft = self.dir.join(format!("first-state.{}", short_id()));
        std::fs::write(&draft, now)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(failed)?;
        Ok(None)
    }

    /// Keeps newcomers from joining.
    pub(super) fn spoil(&self) {
        if let Err(error) = File::create(self.dir.join(SPOILT)) {
            tracing::warn!(%error, "a server that cannot be used again stays in the registry");
        }
    }

    /// Keeps the server until a moment, beyond the life of this process.
    pub(crate) fn hold_for(&self, term: Duration) -> Result<()> {
        let lease = ServerLease::write(&self.dir.join("leases"), &LeaseName::until(term)).map_err(
            |error| {
                Error::new(
                    ErrorKind::ServerLost,
                    "the server is no longer there to be kept",
                )
                .with_source(error)
            },
        )?;
        // The supervisor removes it when the term is over.
        std::mem::forget(lease);
        Ok(())
    }
}

/// The name of a lease file, in the form that the supervisor reads.
#[derive(Debug, Clone)]
pub(crate) struct LeaseName(String);

impl LeaseName {
    /// `PID.START.COUNT`, valid while that process lives.
    pub(crate) fn process() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!(
            "{}.{}",
            ProcessMark::own(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ))
    }

    /// `until.SECONDS.ID`, valid until that moment.
    pub(crate) fn until(term: Duration) -> Self {
        let end = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            + term;
        Self(format!("until.{}.{}", end.as_secs(), short_id()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As the supervisor decides it.
    fn is_valid(&self) -> bool {
        let Some((mark, _)) = self.0.rsplit_once('.') else {
            return false;
        };
        match mark.strip_prefix("until.") {
            Some(end) => {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_secs();
                end.parse().is_ok_and(|end: u64| now < end)
            }
            None => ProcessMark::parse(mark).is_some_and(|holder| holder.is_alive()),
        }
    }
}

/// One use of a server by this process. Ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct ServerLease {
    path: PathBuf,
}

impl ServerLease {
    fn write(dir: &Path, name: &LeaseName) -> std::io::Result<Self> {
        let path = dir.join(&name.0);
        File::create_new(&path)?;
        Ok(Self { path })
    }

    /// The lease that the supervisor writes in our name when it starts.
    pub(crate) fn written_by_supervisor(instance: &Instance, name: &LeaseName) -> Self {
        Self {
            path: instance.dir.join("leases").join(&name.0),
        }
    }
}

impl Drop for ServerLease {
    fn drop(&mut self) {
        // When it is gone already, so is the server.
        let _ = std::fs::remove_file(&self.path);
    }
}
