//! Runs many transactions on one server. Compares their time with that of bare transactions, and
//! the last transactions with the first. Also compares the memory of the test process and of the
//! server before and after.
//!
//! `cargo run --release --example endurance`, with `-- TRANSACTIONS` for another number than
//! 100000.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::time::{Duration, Instant};

use ebbtide::{Database, Harness};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, PgExecutor};

type Error = Box<dyn std::error::Error>;

/// The number of transactions in the first and in the last median.
const SAMPLE_SIZE: usize = 1_000;
/// The number of guarded transactions for each bare one.
const GUARDED_PER_BARE: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |text| text.parse())?;
    if count < 2 * SAMPLE_SIZE {
        return Err(format!("TRANSACTIONS must be at least {}", 2 * SAMPLE_SIZE).into());
    }
    let harness = Harness::builder().build()?;
    let server = harness.start().await?;
    println!(
        "PostgreSQL {}, {} backend, {count} transactions",
        server.server_version, server.backend
    );
    let database = harness.database().await?;
    let mut bare = PgConnection::connect_with(&database.connect_options()).await?;
    let parent = postmaster(&mut bare).await?;
    let (mut guarded_times, mut bare_times) = (Vec::with_capacity(count), Vec::new());
    let mut before = Memory::default();
    for number in 0..count {
        if number == SAMPLE_SIZE {
            before = Memory::now(parent);
        }
        let began = Instant::now();
        let mut tx = harness.tx().await?;
        tx_work(&mut *tx).await?;
        tx.close().await?;
        guarded_times.push(began.elapsed());
        if number % GUARDED_PER_BARE == 0 {
            let began = Instant::now();
            let mut transaction = bare.begin().await?;
            tx_work(&mut *transaction).await?;
            transaction.rollback().await?;
            bare_times.push(began.elapsed());
        }
    }
    let after = Memory::now(parent);
    report(&guarded_times, &bare_times);
    println!(
        "\n{:>9} {:>9}  memory in MiB, after {SAMPLE_SIZE} and after {count} transactions",
        "before", "after"
    );
    println!(
        "{:>9} {:>9}  the test process",
        Memory::text(before.own),
        Memory::text(after.own)
    );
    println!(
        "{:>9} {:>9}  the server's processes, without shared memory",
        Memory::text(before.server),
        Memory::text(after.server)
    );
    bare.close().await?;
    Database::close(database).await?;
    Ok(())
}

/// The statement of a small test.
async fn tx_work<'e>(executor: impl PgExecutor<'e>) -> Result<(), sqlx::Error> {
    sqlx::query("insert into policies (key, category, value) select 'tide', category, '{}' from policies limit 1")
        .execute(executor)
        .await
        .map(drop)
}

fn report(guarded_times: &[Duration], bare_times: &[Duration]) {
    let all = median(guarded_times);
    let (first, last) = (
        median(&guarded_times[..SAMPLE_SIZE]),
        median(&guarded_times[guarded_times.len() - SAMPLE_SIZE..]),
    );
    println!(
        "\n{:>9} {:>9}  medians of a transaction with one INSERT",
        "us", "ratio"
    );
    let print = |time: Duration, reference: Duration, label: &str| {
        println!(
            "{:>9.0} {:>8.2}x  {label}",
            time.as_secs_f64() * 1e6,
            time.as_secs_f64() / reference.as_secs_f64()
        );
    };
    let bare = median(bare_times);
    print(bare, bare, "bare BEGIN and ROLLBACK (reference)");
    print(all, bare, "Tx, opened and closed with all checks");
    print(
        first,
        first,
        &format!("the first {SAMPLE_SIZE} Tx (reference)"),
    );
    print(last, first, &format!("the last {SAMPLE_SIZE} Tx"));
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Private resident memory in KiB. It is known only on Linux, and for a server on this machine.
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
            let server_ids =
                ids.filter(|id| *id == parent || status(*id, "PPid") == Some(parent.into()));
            server_ids.filter_map(private_memory).sum()
        });
        Self {
            own: private_memory(std::process::id()),
            server,
        }
    }

    fn text(memory: Option<u64>) -> String {
        memory.map_or("unknown".to_owned(), |kib| {
            format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024)
        })
    }
}

/// The process id of the postmaster, if it runs on this machine.
async fn postmaster(connection: &mut PgConnection) -> Result<Option<u32>, Error> {
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    let pid = u32::try_from(pid)?;
    let is_local = std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| name.starts_with("postgres"));
    Ok(status(pid, "PPid")
        .filter(|_| is_local)
        .and_then(|parent| parent.try_into().ok()))
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
