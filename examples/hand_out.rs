//! Measures how long a test waits for its database. Prints medians and their ratios.
//!
//! It compares a warm lane with a bare connection. It also compares a lane that must be copied with
//! `CREATE DATABASE ... STRATEGY FILE_COPY` and a connection, on the same server and from the same
//! template.
//!
//! `cargo run --release --example hand_out`, with `-- ROUNDS` for another number of rounds than 40.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::time::{Duration, Instant};

use ebbtide::{Database, Harness};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

type Error = Box<dyn std::error::Error>;

/// The number of consecutive measurements of one kind.
const BATCH_SIZE: usize = 10;
/// The number of lanes that are copied on demand. It is below the maximum of simultaneous lanes.
const COPY_COUNT: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let rounds: usize = std::env::args()
        .nth(1)
        .map_or(Ok(40), |text| text.parse())?;
    if rounds == 0 {
        return Err("ROUNDS must be at least 1".into());
    }
    let harness = Harness::builder().build()?;
    let server = harness.start().await?;
    let template = format!("ebbtide_t_{}", harness.provision().await?.fingerprint);
    println!(
        "PostgreSQL {}, {} backend, medians of {rounds} rounds",
        server.server_version, server.backend
    );
    let reference = harness.database().await?;
    compare_warm(&harness, &reference, rounds).await?;
    compare_copied(&harness, &reference, &template).await?;
    reference.close().await?;
    Ok(())
}

/// Compares checkouts from warm lanes with a new connection. It measures batches of one kind, as in
/// a test suite, and alternates between the kinds, so that all are measured under the same load.
async fn compare_warm(harness: &Harness, reference: &Database, rounds: usize) -> Result<(), Error> {
    let (mut bare, mut tx, mut sandbox, mut database, mut first) =
        (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..rounds.div_ceil(BATCH_SIZE) {
        for _ in 0..BATCH_SIZE {
            let options = reference.connect_options();
            let began = Instant::now();
            let connection = connect(&options).await?;
            bare.push(began.elapsed());
            connection.close().await?;
        }
        for _ in 0..BATCH_SIZE {
            let began = Instant::now();
            let checkout = harness.tx().await?;
            tx.push(began.elapsed());
            checkout.close().await?;
        }
        for _ in 0..BATCH_SIZE {
            let began = Instant::now();
            let checkout = harness.sandbox().await?;
            sandbox.push(began.elapsed());
            checkout.close().await?;
        }
        for _ in 0..BATCH_SIZE {
            let began = Instant::now();
            let checkout = harness.database().await?;
            database.push(began.elapsed());
            let connection = connect(&checkout.connect_options()).await?;
            first.push(began.elapsed());
            connection.close().await?;
            checkout.close().await?;
        }
    }
    let bare = median(bare);
    println!("\n{:>9} {:>12}  from a warm lane", "ms", "ratio");
    print(bare, bare, "a bare connection (reference)");
    print(median(tx), bare, "Tx");
    print(median(sandbox), bare, "Sandbox");
    print(median(database), bare, "Database");
    print(median(first), bare, "Database with its first connection");
    Ok(())
}

/// Compares lanes that must be copied first with databases that `CREATE DATABASE` copies.
async fn compare_copied(
    harness: &Harness,
    reference: &Database,
    template: &str,
) -> Result<(), Error> {
    let maintenance = reference.connect_options().database("postgres");
    let (mut plain, mut copied) = (vec![], vec![]);
    // These occupy the existing lanes, so that every further database needs a copy.
    let mut held = vec![harness.database().await?, harness.database().await?];
    let mut admin = connect(&maintenance).await?;
    for number in 0..COPY_COUNT {
        let name = format!("plain_{}_{number}", std::process::id());
        let create = format!("create database {name} template \"{template}\" strategy file_copy");
        let began = Instant::now();
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut admin)
            .await?;
        let connection = connect(&maintenance.clone().database(&name)).await?;
        plain.push(began.elapsed());
        connection.close().await?;

        let began = Instant::now();
        let checkout = harness.database().await?;
        let connection = connect(&checkout.connect_options()).await?;
        copied.push(began.elapsed());
        connection.close().await?;
        held.push(checkout);
        sqlx::raw_sql(AssertSqlSafe(format!("drop database {name} with (force)")))
            .execute(&mut admin)
            .await?;
    }
    admin.close().await?;
    for checkout in held {
        checkout.close().await?;
    }
    let plain = median(plain);
    println!("\n{:>9} {:>12}  copied on demand", "ms", "ratio");
    print(
        plain,
        plain,
        "CREATE DATABASE ... STRATEGY FILE_COPY with a connection (reference)",
    );
    print(median(copied), plain, "Database with its first connection");
    Ok(())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(options).await
}

fn print(time: Duration, reference: Duration, label: &str) {
    println!(
        "{:>9.3} {:>12.2}  {label}",
        time.as_secs_f64() * 1e3,
        time.as_secs_f64() / reference.as_secs_f64()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
