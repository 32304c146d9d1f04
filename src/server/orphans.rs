//! Removes what servers without a living supervisor left behind, and nothing that lacks our marks.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::adoption::{self, Adoption};
use super::registry::{Health, Instance, Registry};
use super::{memory, pointers};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{self, Account, Running};
use crate::wait::Patience;

const END_TIMEOUT: Duration = Duration::from_secs(10);
/// How long another sweep may take, which ends several servers one after the other.
const SWEEP_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a process may take to end by itself.
const TERMINATE_GRACE: Duration = Duration::from_secs(3);
/// The same for the server that `initdb` talks to: killed, it leaves its shared memory.
const BOOTSTRAP_GRACE: Duration = Duration::from_secs(8);

/// Ends the processes and removes the directories of every orphaned server in the state directory, except of those that are in
/// use: these get a new supervisor.
pub(crate) async fn sweep(
    registry: &Registry,
    plan: &Plan,
    account: Option<Account>,
) -> Result<()> {
    let _lock = registry.sweep_lock(SWEEP_TIMEOUT).await?;
    for instance in registry.instances() {
        if instance.health() != Health::Orphaned {
            continue;
        }
        let in_memory = memory::data(registry, &instance.name());
        let data = if in_memory.exists() {
            in_memory
        } else {
            instance.dir.join("data")
        };
        if adoption::adopt(registry, &instance, &data, plan).await? == Adoption::Adopted {
            continue;
        }
        tracing::info!(
            instance = instance.name(),
            "removing a server without a supervisor"
        );
        registry.forget(&instance);
        Orphan {
            instance: &instance,
            data: &data,
        }
        .end(account)
        .await?;
        remove_tablespaces(&data).await?;
        remove(&data).await?;
        remove(&instance.dir).await?;
    }
    // A supervisor makes its instance directory before the data and removes it afterwards.
    for (name, data) in memory::all_data(registry, account) {
        let instance = registry.instance(&name);
        if !instance.dir.exists() {
            Orphan {
                instance: &instance,
                data: &data,
            }
            .end(account)
            .await?;
            remove_tablespaces(&data).await?;
            remove(&data).await?;
        }
    }
    pointers::sweep(registry);
    Ok(())
}

/// A server that nobody looks after.
struct Orphan<'a> {
    instance: &'a Instance,
    data: &'a Path,
}

/// A process that a dead supervisor had started.
#[derive(Debug)]
struct Stray {
    pid: Pid,
    duty: Duty,
}

#[derive(Debug, Clone, Copy)]
enum Duty {
    /// A postmaster or one of its processes.
    Serve,
    /// The server that `initdb` talks to.
    Bootstrap,
    /// `initdb`, or a copy.
    Prepare,
}

impl Orphan<'_> {
    async fn end(&self, account: Option<Account>) -> Result<()> {
        let pid_file =
            std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let mut lines = pid_file.lines();
        let postmaster: Option<i32> = lines.next().and_then(|line| line.trim().parse().ok());
        let segment = lines.nth(5);
        let mut patience = Patience::new("ending an orphaned server", END_TIMEOUT);
        let began = Instant::now();
        loop {
            let strays = self.strays();
            let Some(first) = strays.first() else { break };
            let leader = strays
                .iter()
                .find(|stray| Some(stray.pid.as_raw_nonzero().get()) == postmaster);
            for stray in &strays {
                let signal = match (leader, stray.duty) {
                    (_, Duty::Serve | Duty::Prepare) if began.elapsed() >= TERMINATE_GRACE => {
                        Signal::KILL
                    }
                    (_, Duty::Bootstrap) if began.elapsed() >= BOOTSTRAP_GRACE => Signal::KILL,
                    (Some(leader), _) if leader.pid == stray.pid => Signal::QUIT,
                    (None, Duty::Serve | Duty::Prepare) => Signal::TERM,
                    // They end with the postmaster or with `initdb`, and give their shared memory back.
                    (Some(_), _) | (None, Duty::Bootstrap) => continue,
                };
                tracing::info!(
                    ?account,
                    ?stray,
                    ?signal,
                    "ending a process without a supervisor"
                );
                // When it has ended meanwhile, all is well.
                let _ = kill_process(stray.pid, signal);
            }
            patience.pause(format!("{first:?} lives")).await?;
        }
        if let Some(segment) = segment {
            self.free(segment);
        }
        Ok(())
    }

    /// PostgreSQL's processes, which work in their data directory, and what the supervisor had started to prepare it.
    fn strays(&self) -> Vec<Stray> {
        // A working directory is shown without links.
        let real = |dir: &Path| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let (data, draft) = (real(self.data), real(&self.instance.dir).join("initdb"));
        let supervisor = self.instance.owner().map(|owner| owner.pid);
        let is_named = |argument: &String| {
            let argument = Path::new(argument);
            argument.starts_with(&self.instance.dir) || argument.starts_with(self.data)
        };
        let duty = |running: &Running| {
            let dir = running.dir().filter(|_| running.command == "postgres");
            match dir {
                Some(dir) if dir == data => Some(Duty::Serve),
                Some(dir) if dir == draft => Some(Duty::Bootstrap),
                _ if Some(running.group) == supervisor
                    && running.arguments().iter().any(is_named) =>
                {
                    Some(Duty::Prepare)
                }
                _ => None,
            }
        };
        let strays = process::all().into_iter().filter_map(|running| {
            Some(Stray {
                duty: duty(&running)?,
                pid: Pid::from_raw(running.pid.cast_signed())?,
            })
        });
        strays.collect()
    }

    /// A killed postmaster leaves its System V segment. `line` holds its key, which is the data directory's inode or
    /// one of the next numbers, and its identifier.
    fn free(&self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(key), Some(identifier), None) = (words.next(), words.next(), words.next()) else {
            return;
        };
        // After a reboot the number may be somebody else's; key and number together are not.
        let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let is_there = segments.lines().any(|segment| {
            let mut words = segment.split_whitespace();
            (words.next(), words.next()) == (Some(key), Some(identifier))
        });
        if is_there {
            let arguments = ["-m", identifier].map(std::ffi::OsStr::new);
            if let Err(error) = process::run(Path::new("ipcrm"), &arguments, None, None) {
                tracing::warn!(?error, data = %self.data.display(), "an orphan's shared memory segment stays");
            }
        }
    }
}

/// Removes what a dead server's tablespaces hold outside its data directory, as `native.sh` does.
async fn remove_tablespaces(data: &Path) -> Result<()> {
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

/// Removes a directory into which a process may still write, whose end takes a moment.
pub(super) async fn remove(dir: &Path) -> Result<()> {
    let mut patience = Patience::new("removing a dead server", END_TIMEOUT);
    loop {
        match std::fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                patience
                    .pause(format!("{}: {error}", dir.display()))
                    .await?;
            }
            Err(error) => {
                return Err(Error::new(
                    ErrorKind::StateDir,
                    format!("{} cannot be removed", dir.display()),
                )
                .with_source(error)
                .with_help(format!(
                    "a dead server left it; remove it with `rm -rf {}`",
                    dir.display()
                )));
            }
        }
    }
}
