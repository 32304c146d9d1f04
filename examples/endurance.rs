//! Many transactions on one server: what they cost beside bare ones, whether the last ones cost more than the first, and
//! what the test process and the server grow by.
//!
//! `cargo run --release --example endurance`, with `-- TRANSACTIONS` for more or fewer than 100000.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use ebbtide::{Database, Harness};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, PgExecutor};

type Error = Box<dyn std::error::Error>;

/// How many make a median.
const SAMPLE: usize = 1_000;
/// A bare transaction after so many others.
const EVERY: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |text| text.parse())?;
    if count < 2 * SAMPLE {
        return Err(format!("{} at least", 2 * SAMPLE).into());
    }
    let harness = Harness::builder().build()?;
    let server = harness.start().await?;
    println!(
        "PostgreSQL {}, {} backend, {count} transactions",
        server.version, server.backend
    );
    let beside = harness.database().await?;
    let mut bare = PgConnection::connect_with(&beside.connect_options()).await?;
    let parent = postmaster(&mut bare).await?;
    let (mut guarded, mut bares) = (Vec::with_capacity(count), Vec::new());
    let mut before = Memory::default();
    for turn in 0..count {
        if turn == SAMPLE {
            before = Memory::now(parent);
        }
        let began = Instant::now();
        let mut tx = harness.tx().await?;
        tx_work(&mut *tx).await?;
        tx.close().await?;
        guarded.push(began.elapsed());
        if turn % EVERY == 0 {
            let began = Instant::now();
            let mut transaction = bare.begin().await?;
            tx_work(&mut *transaction).await?;
            transaction.rollback().await?;
            bares.push(began.elapsed());
        }
    }
    let after = Memory::now(parent);
    report(&guarded, &bares);
    println!(
        "\n{:>9} {:>9}  memory in MiB, after {SAMPLE} and after {count}",
        "then", "now"
    );
    println!(
        "{:>9} {:>9}  the test process",
        Memory::shown(before.own),
        Memory::shown(after.own)
    );
    println!(
        "{:>9} {:>9}  the server's processes, without what they share",
        Memory::shown(before.server),
        Memory::shown(after.server)
    );
    bare.close().await?;
    Database::close(beside).await?;
    Ok(())
}

/// What a small test does.
async fn tx_work<'e>(executor: impl PgExecutor<'e>) -> Result<(), sqlx::Error> {
    sqlx::query("insert into policies (key, category, value) select 'tide', category, '{}' from policies limit 1")
        .execute(executor)
        .await
        .map(drop)
}

fn report(guarded: &[Duration], bares: &[Duration]) {
    let whole = median(guarded);
    let (first, last) = (
        median(&guarded[..SAMPLE]),
        median(&guarded[guarded.len() - SAMPLE..]),
    );
    println!(
        "\n{:>9} {:>9}  medians of a transaction with one INSERT",
        "us", "ratio"
    );
    let print = |time: Duration, of: Duration, what: &str| {
        println!(
            "{:>9.0} {:>8.2}x  {what}",
            time.as_secs_f64() * 1e6,
            time.as_secs_f64() / of.as_secs_f64()
        );
    };
    let bare = median(bares);
    print(bare, bare, "bare BEGIN and ROLLBACK");
    print(
        whole,
        bare,
        "Tx, opened and closed with every check: of a bare one",
    );
    print(first, first, &format!("the first {SAMPLE} Tx"));
    print(last, first, &format!("the last {SAMPLE} Tx: of the first"));
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Resident memory in KiB, where the system tells it: Linux, and a server that runs beside this process.
#[derive(Debug, Default, Clone, Copy)]
struct Memory {
    own: Option<u64>,
    server: Option<u64>,
}

impl Memory {
    fn now(postmaster: Option<u32>) -> Self {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let server = postmaster.map(|parent| {
            let its = ids.filter(|id| *id == parent || status(*id, "PPid") == Some(parent.into()));
            its.filter_map(private).sum()
        });
        Self {
            own: private(std::process::id()),
            server,
        }
    }

    fn shown(memory: Option<u64>) -> String {
        memory.map_or("unknown".to_owned(), |kib| {
            format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024)
        })
    }
}

/// The server's first process, if it runs on this machine.
async fn postmaster(connection: &mut PgConnection) -> Result<Option<u32>, Error> {
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    let pid = u32::try_from(pid)?;
    let is_it = std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| name.starts_with("postgres"));
    Ok(status(pid, "PPid")
        .filter(|_| is_it)
        .and_then(|parent| parent.try_into().ok()))
}

/// Memory of a process that is no file's and not shared.
fn private(pid: u32) -> Option<u64> {
    status(pid, "RssAnon")
}

/// <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
fn status(pid: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
