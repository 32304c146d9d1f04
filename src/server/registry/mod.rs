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
//! | `not_joinable` | present users may continue, further processes must not join |
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
//!       |  or `not_joinable` was written                        |  the server is stopped, and
//!       |                                                       |  may save its data first, with
//!       |                                                       |  `not_joinable`
//!       v                                                       |
//!   NotJoinable                                                 |
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
//!
//! | file | noun |
//! |---|---|
//! | `key` | what decides which processes share a server |
//! | `pointer` | the content of the pointer file |
//! | `start_lock` | the start-up lock, and the lock for sweeping |
//! | `instance` | an instance directory, and its state |
//! | `lease` | one use of a server, and its file |

mod instance;
mod key;
mod lease;
mod pointer;
mod start_lock;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::state::StateDir;
use crate::config::Backend;
use crate::error::{Error, ErrorKind, Result};

pub(crate) use instance::{Health, Instance};
pub(crate) use key::ServerKey;
pub(crate) use lease::{LeaseName, ServerLease};
pub(crate) use pointer::Pointer;
pub(crate) use start_lock::StartLock;

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
        ServerKey::of_instance(&instance.name()).pointer(&self.state)
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
            self.key.as_str(),
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

    /// Takes the start-up lock of any key, if no process holds it.
    pub(crate) fn try_lock_of(&self, key: &str) -> Option<StartLock> {
        StartLock::try_take(&self.state.locks().join(key))
    }

    async fn lock_named(&self, name: &str, step: &str, limit: Duration) -> Result<StartLock> {
        StartLock::take(&self.state.locks().join(name), step, limit).await
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
        self.key.is_key_of(&instance.name())
    }
}
