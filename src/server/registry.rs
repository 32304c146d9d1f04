//! Shares one server among all processes with the same settings.
//!
//! Every server has an instance directory, `KEY.ID`, which its supervisor creates and removes.
//! Processes coordinate through files only, because any of them can be killed at any moment:
//!
//! | file | meaning |
//! |---|---|
//! | `owner` | mark (pid and start time) of the supervisor |
//! | `deputy` | mark of the shell that replaces a killed supervisor |
//! | `server` | what a later start needs to take the server over when both were killed |
//! | `leases/` | one file for each use of the server |
//! | `serving` | the server may be used |
//! | `retiring` | `serving` under another name, while the supervisor ends the server |
//! | `spoilt` | present users may continue, further processes must not join |
//! | `log` | the server's output |
//!
//! The life of an instance, as [`Health`] reads it from these files:
//!
//! ```text
//!   Unfinished   half made: the directory is named KEY.ID.of.PID.START
//!       |  renamed to KEY.ID
//!       v         no valid lease for the linger, or a signal
//!   Serving  --------------------------------------------->  Retiring
//!       |    <---------------------------------------------     |
//!       |         a lease was written meanwhile                 |
//!       |  the server ended by itself,                          |  no lease:
//!       |  or an earlier build spoilt it                        |  the server is stopped
//!       v                                                       |
//!   ServerDead                                                  |
//!       |  no process holds a lease                             |
//!       v                                                       |
//!   Unfinished   half removed: renamed again, then deleted  <---+
//!       |
//!       v
//!     Gone
//!
//!   any state  -- supervisor and deputy are both killed -->  Orphaned
//!   Orphaned   -- leased, and the server runs: `adoption` ->  Serving
//!   Orphaned   -- otherwise: `orphans` ------------------->  Gone
//! ```
//!
//! While the directory is half made or half removed, the owner's mark is part of its name. So there
//! is no moment at which a sweep could find a directory without an owner and mistake it for an
//! orphan's.
//!
//! A pointer file, `KEY.json`, names the instance in use. It is written after the server's first
//! answer. The start-up lock of a key is held during start-up only, so that one process starts the
//! server and the others wait for it.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::sharing::Sharing;
use super::state::StateDir;
use crate::config::{Backend, Plan};
use crate::conn::{RoleKind, VersionAndRole};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{Fingerprint, PartsHash, short_id};
use crate::process::ProcessMark;
use crate::scarcity::Scarcity;
use crate::wait::Polling;

/// Part of every server key. Incremented when files in the state directory change their meaning.
const FORMAT: u32 = 5;
/// Separates an instance's name from its owner's mark, in the directory's name while the directory
/// is half made or half removed.
const OWNER_SEPARATOR: &str = ".of.";

/// A file in the directory of a server whose present users may continue, and that no process may
/// join.
const SPOILT_FILE: &str = "spoilt";

/// A hash of everything on which two plans must agree to share a server.
#[derive(Debug, Clone)]
pub(crate) struct ServerKey(String);

impl ServerKey {
    /// The key of the lock under which the backend `auto` makes its choice. No server has this key.
    pub(super) fn auto_lock(plan: &Plan, sharing: &Sharing) -> Self {
        let mut hash = PartsHash::default();
        hash.part("backend", Backend::Auto.to_string());
        Self::of(plan, sharing, hash)
    }

    /// The key with what counts for every backend, after the parts in `hash`, which count for one.
    /// A key of the configuration belongs here if servers with other values of it must not be
    /// shared.
    pub(super) fn of(plan: &Plan, sharing: &Sharing, mut hash: PartsHash) -> Self {
        hash.part("format", FORMAT.to_string());
        // Two releases never share a server: they may differ in their files and scripts.
        hash.part("version", env!("CARGO_PKG_VERSION"));
        hash.list(
            "postgres",
            plan.postgres.map(|major| major.to_string()).as_slice(),
        );
        hash.list("settings", plan.settings.keys());
        hash.list("values", plan.settings.values());
        hash.part("storage", plan.storage.to_string());
        // The supervisor counts one linger for all processes that use the server.
        hash.part("linger", plan.linger.as_nanos().to_string());
        hash.list(
            "contents",
            sharing.contents().map(Fingerprint::as_str).as_slice(),
        );
        // Short, because the key is part of a socket's path, whose length the system limits.
        Self(hash.digits(8))
    }

    /// A name for a new instance, used by no other.
    pub(crate) fn new_instance_name(&self) -> String {
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
    /// How many connections tests may have. Recorded here to save each process a query.
    pub(crate) connections: usize,
    /// The name of the backend that runs the server.
    pub(crate) backend: String,
    /// What a process needs to reach the server, in the form of its backend.
    pub(crate) address: serde_json::Value,
    /// Why this backend was chosen.
    pub(crate) reason: String,
}

impl Pointer {
    /// Parses the content of a pointer file. Returns `None` if it is in another format, or names
    /// another backend.
    fn parse(text: &[u8], backend: Backend) -> Option<Self> {
        let pointer: Self = serde_json::from_slice(text).ok()?;
        (pointer.backend == backend.to_string()).then_some(pointer)
    }

    /// The version, with the role of every server that ebbtide starts.
    pub(super) fn version_and_role(&self) -> VersionAndRole {
        VersionAndRole {
            version_num: self.version_num,
            role: RoleKind::Superuser,
        }
    }
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

    /// The pointer of this key, if there is a readable one of this backend.
    pub(crate) fn read_pointer(&self, backend: Backend) -> Option<Pointer> {
        Pointer::parse(&std::fs::read(self.pointer_path()).ok()?, backend)
    }

    /// Publishes an instance to the processes with the same key.
    ///
    /// # Errors
    /// [`ErrorKind::ServerLost`] if the instance directory is gone, [`ErrorKind::Io`] otherwise.
    pub(crate) fn write_pointer(&self, pointer: &Pointer) -> Result<()> {
        let path = self.pointer_path();
        // Written elsewhere and renamed, so that no process reads half a pointer. The draft lies in
        // the instance directory: if this process is killed before the rename, the supervisor
        // removes it.
        let draft = self.instance(&pointer.instance).dir.join("pointer");
        let text = serde_json::to_vec(pointer).expect("a pointer holds plain values");
        let published = std::fs::write(&draft, text)
            // Independent of the umask: before the supervisor removes the pointer it reads it, as
            // the server's user.
            .and_then(|()| std::fs::set_permissions(&draft, Permissions::from_mode(0o644)))
            .and_then(|()| std::fs::rename(&draft, &path));
        published.map_err(|error| {
            // The error of the write is the one to report.
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

    /// The pointer file of an instance, whose key may differ from this registry's.
    pub(crate) fn pointer_path_of(&self, instance: &Instance) -> PathBuf {
        let name = instance.name();
        let key = name.split('.').next().unwrap_or_default().to_owned();
        ServerKey(key).pointer(&self.state)
    }

    /// Removes the pointer to an instance that is being removed.
    ///
    /// A pointer that already names another instance stays.
    pub(crate) fn remove_pointer_to(&self, instance: &Instance) {
        let path = self.pointer_path_of(instance);
        let pointer: Option<Pointer> = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        if pointer.is_some_and(|pointer| pointer.instance == instance.name()) {
            // A pointer to a missing instance is harmless: every reader ignores it, and the next
            // start replaces it.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Takes the start-up lock of this key, after another process has finished its start-up.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] after `limit`; [`ErrorKind::StateDir`] if the lock file cannot be
    /// used.
    pub(crate) async fn lock(&self, limit: Duration) -> Result<StartLock> {
        self.lock_named(
            &self.key.0,
            "server start: another process is starting the server",
            limit,
        )
        .await
    }

    /// Takes the lock for sweeping this state directory.
    ///
    /// All keys share it, because two sweeps at once could both take over the same orphaned server.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub(crate) async fn sweep_lock(&self, limit: Duration) -> Result<StartLock> {
        self.lock_named(
            "sweep",
            "server start: another process is removing dead servers",
            limit,
        )
        .await
    }

    async fn lock_named(&self, name: &str, step: &str, limit: Duration) -> Result<StartLock> {
        let path = self.state.locks().join(name);
        // No process deletes this file: otherwise two processes could hold the locks of two files
        // with this name. The standard library opens it with `O_CLOEXEC`, so the supervisor does
        // not inherit the lock and keep it.
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
        // Independent of the umask: later processes of this user must be able to open the file.
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|error| {
                Error::new(
                    ErrorKind::StateDir,
                    format!("{} must belong to the current user", path.display()),
                )
                .with_source(error)
            })?;
        // Polled: a blocking `lock` has no time limit, and it would block a thread of the runtime.
        // The kernel releases the lock of a killed holder.
        let mut polling = Polling::new(step, limit);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(StartLock { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    polling
                        .pause(format!("{} is locked", path.display()))
                        .await?;
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

    /// Every instance directory of all keys, including half made and half removed ones.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        // An unreadable directory counts as empty: a sweep then removes nothing, and the next start
        // sweeps again.
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

/// A lock that is held during start-up. It ends when this value is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct StartLock {
    _file: File,
}

/// The state of an instance, according to its files. The module's head draws the transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// The server may be used. A native server may still be starting.
    Serving,
    /// The supervisor checks the leases a last time. It then serves again, or removes everything.
    Retiring,
    /// The server ended by itself, or is spoilt. The supervisor keeps the log while a process holds
    /// a lease.
    ServerDead,
    /// The supervisor is making or removing the directory.
    Unfinished,
    /// Supervisor and deputy are both dead.
    Orphaned,
    /// The directory does not exist.
    Gone,
}

/// The directory of one running server.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) dir: PathBuf,
}

/// Whether the process of a mark is alive, or is not known to be dead.
fn may_live(mark: std::io::Result<Option<ProcessMark>>) -> bool {
    match mark {
        Ok(mark) => mark.is_some_and(|owner| owner.is_alive()),
        // If this process has reached a limit (open files, memory), it cannot read the mark. The
        // owner then counts as alive: otherwise a limit of one process would end a server that
        // others use.
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

    /// Reads the state of the instance from its files.
    ///
    /// The supervisor may rename files between two of these reads, so their order matters.
    pub(crate) fn health(&self) -> Health {
        if !self.dir.exists() {
            return Health::Gone;
        }
        // Both must be dead: the deputy of a killed supervisor takes over within a second.
        if !may_live(self.mark()) && !may_live(self.mark_in("deputy")) {
            // Checked again: if the owner removed the directory after the first check, the marks
            // are missing for that reason, and the instance is no orphan.
            return if self.dir.exists() {
                Health::Orphaned
            } else {
                Health::Gone
            };
        }
        let has = |name: &str| self.dir.join(name).exists();
        // Before `serving`, which stays while the present users of a spoilt server continue.
        if has(SPOILT_FILE) {
            return Health::ServerDead;
        }
        // `serving` is read twice: when a supervisor renames `retiring` back to `serving` between
        // the first two reads, neither of them finds its file.
        match (
            self.is_unfinished(),
            has("serving"),
            has("retiring"),
            has("serving"),
        ) {
            (true, ..) => Health::Unfinished,
            (false, true, ..) | (false, false, false, true) => Health::Serving,
            (false, false, true, _) => Health::Retiring,
            (false, false, false, false) => Health::ServerDead,
        }
    }

    /// The supervisor's mark, if it can be read.
    pub(crate) fn owner(&self) -> Option<ProcessMark> {
        self.mark().ok().flatten()
    }

    /// The supervisor's mark: from the directory's name while the directory is half made or half
    /// removed, otherwise from the file `owner`.
    fn mark(&self) -> std::io::Result<Option<ProcessMark>> {
        match self.name().split_once(OWNER_SEPARATOR) {
            // Under this name, `owner` may not be written yet, or may be deleted already.
            Some((_, mark)) => Ok(ProcessMark::parse(mark)),
            None => self.mark_in("owner"),
        }
    }

    fn mark_in(&self, file: &str) -> std::io::Result<Option<ProcessMark>> {
        std::fs::read_to_string(self.dir.join(file)).map(|text| ProcessMark::parse(&text))
    }

    /// Whether the server has a valid lease: that of a living process, or one whose end time has
    /// not passed.
    pub(crate) fn is_leased(&self) -> bool {
        match std::fs::read_dir(self.dir.join("leases")) {
            Ok(entries) => {
                let mut names = entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().into_string().ok());
                names.any(|name| LeaseName(name).is_valid())
            }
            // EMFILE, ENFILE or ENOMEM: this process cannot read the leases, so the server counts
            // as used.
            Err(error) => Scarcity::of_open(&error).is_some(),
        }
    }

    fn is_unfinished(&self) -> bool {
        self.name().contains(OWNER_SEPARATOR)
    }

    /// Registers this process as a user of the server. Returns `None` if the server cannot be used.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if a retiring server is not gone after 20 seconds.
    pub(crate) async fn lease(&self) -> Result<Option<ServerLease>> {
        // This order keeps a supervisor from ending a server that a process has just joined. This
        // process writes its lease and then looks for `serving`. The supervisor renames `serving`
        // to `retiring` and then looks for leases. The later of the two sees the file of the other.
        // The write fails if the supervisor has renamed the directory, which it does before it
        // deletes it.
        let Ok(lease) = ServerLease::write(&self.dir.join("leases"), &LeaseName::process()) else {
            return Ok(None);
        };
        let mut polling = Polling::new(
            "server start: the previous server is ending",
            Duration::from_secs(20),
        );
        loop {
            match self.health() {
                Health::Serving => return Ok(Some(lease)),
                // The supervisor decides. If it finds this lease, it renames `retiring` back.
                // Otherwise it stops the server, and in the end the directory is gone.
                Health::Retiring => {
                    polling
                        .pause(format!("{} is retiring", self.dir.display()))
                        .await?;
                }
                // Dropping the lease deletes its file. The supervisor of a dead server keeps the
                // instance for as long as a process holds a lease.
                Health::ServerDead | Health::Unfinished | Health::Orphaned | Health::Gone => {
                    return Ok(None);
                }
            }
        }
    }

    /// The state that was recorded before the first build on this server.
    ///
    /// Returns `None` and records `now` if there is no such record.
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
        // The rename keeps a reader from finding half a file, also if this process is killed here.
        let draft = self.dir.join(format!("first-state.{}", short_id()));
        std::fs::write(&draft, now)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(failed)?;
        Ok(None)
    }

    /// Keeps further processes from joining this server. Its present users continue.
    pub(super) fn mark_spoilt(&self) {
        if let Err(error) = File::create(self.dir.join(SPOILT_FILE)) {
            tracing::warn!(%error, "could not mark a spoilt server; other processes may join it");
        }
    }

    /// Keeps the server for `term`, even after this process has ended.
    pub(crate) fn hold_for(&self, term: Duration) -> Result<()> {
        let lease = ServerLease::write(&self.dir.join("leases"), &LeaseName::until(term)).map_err(
            |error| {
                Error::new(
                    ErrorKind::ServerLost,
                    "the server ended before it could be kept",
                )
                .with_source(error)
            },
        )?;
        // Not dropped, which would remove the file. The supervisor removes it after the term.
        std::mem::forget(lease);
        Ok(())
    }
}

/// The name of a lease file, which `leased` in `instance.sh` parses.
#[derive(Debug, Clone)]
pub(crate) struct LeaseName(String);

impl LeaseName {
    /// `PID.START.COUNT`, valid while that process lives.
    pub(crate) fn process() -> Self {
        // One process may hold several leases of one server, each with a file of its own.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!(
            "{}.{}",
            ProcessMark::own(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ))
    }

    /// `until.SECONDS.ID`, valid until that moment.
    pub(crate) fn until(term: Duration) -> Self {
        // Wall-clock time, because the supervisor compares the end with `date +%s`.
        let end = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            + term;
        Self(format!("until.{}.{}", end.as_secs(), short_id()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the lease is in force, by the same rule as `leased` in `instance.sh`.
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

/// One use of a server by this process. It ends when this value is dropped, or with the process.
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

    /// The lease that the supervisor writes for this process while it makes the instance.
    ///
    /// This process cannot write it: the directory does not exist yet, and a supervisor without any
    /// lease would start to count the linger.
    pub(crate) fn written_by_supervisor(instance: &Instance, name: &LeaseName) -> Self {
        Self {
            path: instance.dir.join("leases").join(&name.0),
        }
    }
}

impl Drop for ServerLease {
    fn drop(&mut self) {
        // The file is missing if the supervisor has removed the instance.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_of_another_backend_is_not_used() {
        let pointer = Pointer {
            instance: "0011.2233".to_owned(),
            version_num: 150_004,
            version: "15.4".to_owned(),
            connections: 97,
            backend: Backend::Native.to_string(),
            address: serde_json::Value::Null,
            reason: "EBBTIDE_BACKEND".to_owned(),
        };
        let text = serde_json::to_string(&pointer).expect("a pointer holds plain values");
        let parse = |text: &str| Pointer::parse(text.as_bytes(), Backend::Native);
        assert_eq!(parse(&text), Some(pointer));
        assert_eq!(parse(&text.replace("native", "other")), None, "{text}");
        assert_eq!(parse(&text.replace("native", "container")), None, "{text}");
    }
}
