//! Many transactions on one server: whether the last ones take longer than the first, and whether
//! the memory of the server grows.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::Error;
use crate::bars::tx::guarded;
use crate::bars::{about, print};
use crate::ratios::{Ratios, median};
use crate::suite::Suite;

const BAR: f64 = 1.05;
const TX_COUNT: usize = 100_000;
/// The number of transactions in the first and in the last median.
const SAMPLE_SIZE: usize = 1_000;

pub(super) async fn run(name: &str) -> Result<(), Error> {
    let suite = Suite::new().await?;
    let mut connection = PgConnection::connect_with(&suite.bare().connect_options()).await?;
    let postmaster = postmaster(&mut connection).await?;
    let mut times = Vec::with_capacity(TX_COUNT);
    let mut before = None;
    for number in 0..TX_COUNT {
        if number == SAMPLE_SIZE {
            before = Memory::now(postmaster);
        }
        times.push(guarded(&suite).await?);
    }
    let after = Memory::now(postmaster);
    let mut ratios = Ratios::default();
    ratios.push(
        median(&times[TX_COUNT - SAMPLE_SIZE..]),
        median(&times[..SAMPLE_SIZE]),
    );
    print(name, about(name), &ratios, BAR);
    if let (Some(before), Some(after)) = (before, after) {
        for (what, before, after) in [
            (
                "memory of the server, after / before",
                before.server,
                after.server,
            ),
            (
                "memory of this process, after / before",
                before.own,
                after.own,
            ),
        ] {
            // A ratio of KiB: the unit does not matter.
            let mut ratios = Ratios::default();
            ratios.push(Duration::from_millis(after), Duration::from_millis(before));
            print(name, what, &ratios, BAR);
        }
    }
    connection.close().await?;
    suite.close().await
}

/// Private resident memory in KiB. It is known only on Linux.
#[derive(Debug, Clone, Copy)]
struct Memory {
    own: u64,
    server: u64,
}

impl Memory {
    fn now(postmaster: u32) -> Option<Self> {
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let of_server =
            ids.filter(|id| *id == postmaster || status(*id, "PPid") == Some(postmaster.into()));
        Some(Self {
            own: private_memory(std::process::id())?,
            server: of_server.filter_map(private_memory).sum(),
        })
    }
}

/// The process id of the postmaster.
async fn postmaster(connection: &mut PgConnection) -> Result<u32, Error> {
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
fn status(pid: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
