//! The memory of processes. It is known only on Linux.

use sqlx::postgres::PgConnection;

use crate::Error;

/// Private resident memory in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) own: u64,
    pub(crate) server: u64,
}

impl Memory {
    pub(crate) fn now(postmaster: u32) -> Option<Self> {
        Some(Self {
            own: private_memory(std::process::id())?,
            server: processes_of(postmaster).filter_map(private_memory).sum(),
        })
    }
}

/// The postmaster and its children.
pub(crate) fn processes_of(postmaster: u32) -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(move |id| *id == postmaster || status(*id, "PPid") == Some(u64::from(postmaster)))
}

/// The share of a process in all resident memory, in KiB: a page that several processes use counts
/// in part for each
/// (<https://man7.org/linux/man-pages/man5/proc_pid_smaps.5.html>).
pub(crate) fn proportional_memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The process id of the postmaster.
pub(crate) async fn postmaster(connection: &mut PgConnection) -> Result<u32, Error> {
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    let parent = status(u32::try_from(pid)?, "PPid").ok_or("the server has no process here")?;
    Ok(u32::try_from(parent)?)
}

/// A process's resident memory that is anonymous and not shared, in KiB.
fn private_memory(pid: u32) -> Option<u64> {
    status(pid, "RssAnon")
}

/// A field of `/proc/PID/status`
/// (<https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>).
pub(crate) fn status(pid: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
