//! Removes what a native server without a living supervisor left behind, in this order:
//!
//! ```text
//!   processes        the postmaster and its backends, `initdb`, copies
//!   System V segment of a killed postmaster
//!   tablespaces      directories outside the data directory
//!   data directory   in memory or on disk
//! ```
//!
//! A process is ended only in two cases. It works in this instance's data directory. Or it belongs
//! to the supervisor's process group, and has a path of this instance among its arguments. A pid
//! alone is not enough: the system reuses it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::orphans::remove;
use super::super::registry::{Instance, Registry};
use super::memory;
use crate::error::Result;
use crate::process::{self, Account, Running};
use crate::wait::Polling;

/// How long the processes of an orphan may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a process may take to end after a signal that it can handle, before it is killed.
const TERMINATE_GRACE: Duration = Duration::from_secs(3);
/// The same for the bootstrap server of `initdb`. The time is longer, because a killed bootstrap
/// server leaves its shared memory segment.
const BOOTSTRAP_GRACE: Duration = Duration::from_secs(8);

/// The data directory of an existing instance: in memory if there is one, else on disk.
pub(super) fn data_dir(registry: &Registry, instance: &Instance) -> PathBuf {
    // Not from the plan: the process that started this server may have had another `storage`.
    let in_memory = memory::data(registry, &instance.name());
    if in_memory.exists() {
        in_memory
    } else {
        memory::data_on_disk(instance)
    }
}

/// Removes everything of an orphan except its instance directory.
///
/// # Errors
/// A process does not end, or a directory cannot be removed.
pub(super) async fn remove_orphan(
    registry: &Registry,
    instance: &Instance,
    account: Option<Account>,
) -> Result<()> {
    let data = &data_dir(registry, instance);
    Orphan { instance, data }.remove(account).await
}

/// Removes data in memory without an instance directory.
///
/// Such data is an orphan's, too. A supervisor makes the instance directory before the data, and
/// removes the directory after the data, so a living server has both.
///
/// # Errors
/// As for [`remove_orphan`].
pub(super) async fn remove_strays(registry: &Registry, account: Option<Account>) -> Result<()> {
    // The list is read before each check. If a supervisor removes both directories in between,
    // there is nothing left to remove.
    for (name, data) in memory::all_data(registry, account) {
        let instance = &registry.instance(&name);
        if !instance.dir.exists() {
            let data = &data;
            Orphan { instance, data }.remove(account).await?;
        }
    }
    Ok(())
}

/// A server whose supervisor and deputy are dead.
struct Orphan<'a> {
    instance: &'a Instance,
    data: &'a Path,
}

/// A process that a dead supervisor had started.
#[derive(Debug)]
struct OrphanProcess {
    pid: Pid,
    kind: ProcessKind,
}

#[derive(Debug, Clone, Copy)]
enum ProcessKind {
    /// A postmaster or one of its child processes.
    Server,
    /// The `postgres` process that `initdb` runs to fill a new data directory.
    Bootstrap,
    /// `initdb` itself, or the `cp` that copies its output.
    Preparation,
}

impl Orphan<'_> {
    async fn remove(&self, account: Option<Account>) -> Result<()> {
        // First the processes, which would write into the directories. The tablespaces before the
        // data directory, which holds the links to them.
        self.end_processes(account).await?;
        remove_tablespaces(self.data).await?;
        remove(self.data).await
    }

    /// Ends all processes of the server and removes its System V segment.
    ///
    /// The signal depends on what else still runs. Whatever remains after the grace gets `SIGKILL`.
    async fn end_processes(&self, account: Option<Account>) -> Result<()> {
        // Read first: an ending postmaster deletes this file. Line 1 is the postmaster's pid, and
        // line 7 its shared memory segment.
        // <https://www.postgresql.org/docs/current/storage-file-layout.html>
        let pid_file =
            std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let mut lines = pid_file.lines();
        let postmaster: Option<i32> = lines.next().and_then(|line| line.trim().parse().ok());
        let segment = lines.nth(5);
        let mut polling = Polling::new("ending an orphaned server", END_TIMEOUT);
        let began = Instant::now();
        loop {
            // Listed again in each round, because some processes end and others appear.
            let processes = self.processes();
            let Some(first) = processes.first() else {
                break;
            };
            // The pid from the file counts only if that process works in this data directory.
            let leader = processes
                .iter()
                .find(|process| Some(process.pid.as_raw_nonzero().get()) == postmaster);
            for process in &processes {
                let signal = match (leader, process.kind) {
                    (_, ProcessKind::Server | ProcessKind::Preparation)
                        if began.elapsed() >= TERMINATE_GRACE =>
                    {
                        Signal::KILL
                    }
                    (_, ProcessKind::Bootstrap) if began.elapsed() >= BOOTSTRAP_GRACE => {
                        Signal::KILL
                    }
                    // An immediate shutdown: the postmaster ends its children and removes its
                    // shared memory. Without a checkpoint, because the data is deleted next.
                    // <https://www.postgresql.org/docs/current/server-shutdown.html>
                    (Some(leader), _) if leader.pid == process.pid => Signal::QUIT,
                    // Children that outlive a killed postmaster, and what prepares a data
                    // directory.
                    (None, ProcessKind::Server | ProcessKind::Preparation) => Signal::TERM,
                    // These end with the postmaster or with `initdb`, and then remove their shared
                    // memory. A signal could prevent that.
                    (Some(_), _) | (None, ProcessKind::Bootstrap) => continue,
                };
                tracing::info!(
                    ?account,
                    ?process,
                    ?signal,
                    "ending a process without a supervisor"
                );
                // An error means that the process has ended meanwhile; the next round shows it.
                let _ = kill_process(process.pid, signal);
            }
            polling.pause(format!("{first:?} is still running")).await?;
        }
        // After the processes, because a postmaster that ends by the signal removes its own
        // segment.
        if let Some(segment) = segment {
            self.remove_segment(segment);
        }
        Ok(())
    }

    /// The processes of this server: `postgres` processes, which the working directory identifies,
    /// and the preparation, which the process group and the arguments identify.
    fn processes(&self) -> Vec<OrphanProcess> {
        // `/proc/PID/cwd` holds a path without symbolic links, so the compared paths must too.
        let real = |dir: &Path| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let (data, draft) = (real(self.data), real(&self.instance.dir).join("initdb"));
        // A `postgres` process changes into its data directory. `initdb` and `cp` do not, but they
        // are in the process group of the supervisor, whose number is the supervisor's pid.
        let supervisor = self.instance.owner().map(|owner| owner.pid);
        let is_named = |argument: &String| {
            let argument = Path::new(argument);
            argument.starts_with(&self.instance.dir) || argument.starts_with(self.data)
        };
        let kind = |running: &Running| {
            let dir = running.dir().filter(|_| running.command == "postgres");
            match dir {
                Some(dir) if dir == data => Some(ProcessKind::Server),
                Some(dir) if dir == draft => Some(ProcessKind::Bootstrap),
                _ if Some(running.group) == supervisor
                    && running.arguments().iter().any(is_named) =>
                {
                    Some(ProcessKind::Preparation)
                }
                _ => None,
            }
        };
        let processes = process::all().into_iter().filter_map(|running| {
            Some(OrphanProcess {
                kind: kind(&running)?,
                pid: Pid::from_raw(running.pid.cast_signed())?,
            })
        });
        processes.collect()
    }

    /// Removes the System V segment that a killed postmaster leaves.
    ///
    /// `line` is the seventh line of `postmaster.pid`: the segment's key and identifier. The key is
    /// the inode of the data directory, or one of the next numbers.
    fn remove_segment(&self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(key), Some(identifier), None) = (words.next(), words.next(), words.next()) else {
            return;
        };
        // Both must match. After a reboot, another program's segment may have this identifier, but
        // not this key as well.
        let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let is_there = segments.lines().any(|segment| {
            let mut words = segment.split_whitespace();
            (words.next(), words.next()) == (Some(key), Some(identifier))
        });
        if is_there {
            let arguments = ["-m", identifier].map(std::ffi::OsStr::new);
            if let Err(error) = process::run(Path::new("ipcrm"), &arguments, None, None) {
                tracing::warn!(
                    ?error,
                    data = %self.data.display(),
                    "could not remove an orphan's shared memory segment"
                );
            }
        }
    }
}

/// Removes what a dead server's tablespaces hold outside its data directory, as `supervise.sh`
/// does.
///
/// `CREATE TABLESPACE` refuses a location that holds such a directory of the same version, so the
/// next server could not create the same tablespace.
async fn remove_tablespaces(data: &Path) -> Result<()> {
    // Without this file, the data directory is incomplete. No server has run in it, or
    // `supervise.sh` was killed while it deleted the directory, which it does after the
    // tablespaces.
    let Ok(major) = std::fs::read_to_string(data.join("PG_VERSION")) else {
        return Ok(());
    };
    let prefix = format!("PG_{}_", major.trim());
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    for link in entries(&data.join("pg_tblspc")).filter(|entry| entry.path().is_symlink()) {
        for dir in entries(&link.path())
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        {
            remove(&dir.path()).await?;
        }
    }
    Ok(())
}
