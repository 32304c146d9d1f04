//! Server leases: a file for each use of a server. Without a valid one, the supervisor counts the
//! linger.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::instance::{Health, Instance};
use crate::error::{Error, ErrorKind, Result};
use crate::names::short_id;
use crate::process::ProcessMark;
use crate::scarcity::Scarcity;
use crate::wait::Polling;

impl Instance {
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
                Health::NotJoinable | Health::Unfinished | Health::Orphaned | Health::Gone => {
                    return Ok(None);
                }
            }
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
