//! Measures how long a fork of a database takes. Prints medians and their ratios.
//!
//! It compares `Database::fork` with `CREATE DATABASE ... TEMPLATE` of the same database on the
//! same server: without a session on the source, and with one that has an open transaction. The
//! source has rows that the test has written.
//!
//! `cargo run --release --example forks`, with `-- ROUNDS ROWS` for other numbers than 15 rounds
//! and 20000 rows.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::time::{Duration, Instant};

use ebbtide::{Database, Harness};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let rounds = numbers.next().unwrap_or(Ok(15))?.max(1);
    let rows = numbers.next().unwrap_or(Ok(20_000))?;
    let harness = Harness::builder().build()?;
    let server = harness.start().await?;
    println!(
        "PostgreSQL {}, {} backend, medians of {rounds} rounds, {rows} rows",
        server.server_version, server.backend
    );
    let source = harness.database().await?;
    // Rows only: with another schema, an open session would prevent the fork.
    let insert = format!(
        "insert into customers (phone, first_name, last_name) \
         select '+34' || (600000000 + n), 'Laura', 'García' from generate_series(1, {rows}) n"
    );
    sqlx::raw_sql(AssertSqlSafe(insert))
        .execute(&source.pool())
        .await?;
    let (mut plain, mut files, mut contents, mut rewinds) = (vec![], vec![], vec![], vec![]);
    let checkpoint = source.checkpoint().await?;
    for _ in 0..rounds {
        plain.push(copy_plainly(&source).await?);
        files.push(fork(&source).await?);
        let mut session = PgConnection::connect(source.url()).await?;
        sqlx::raw_sql("begin; delete from customers")
            .execute(&mut session)
            .await?;
        contents.push(fork(&source).await?);
        session.close().await?;
        let began = Instant::now();
        source.rewind_to(&checkpoint).await?;
        rewinds.push(began.elapsed());
    }
    let plain = median(&mut plain);
    println!("CREATE DATABASE .. TEMPLATE    {plain:>9.1?}");
    for (name, times) in [
        ("fork, no other session", &mut files),
        ("fork, an open transaction", &mut contents),
        ("rewind_to", &mut rewinds),
    ] {
        let median = median(times);
        let ratio = median.as_secs_f64() / plain.as_secs_f64();
        println!("{name:<30} {median:>9.1?}  {ratio:.2} x");
    }
    source.close().await?;
    Ok(())
}

/// Copies the database as a person would, after all sessions on it have ended.
async fn copy_plainly(source: &Database) -> Result<Duration, Error> {
    // A fork ends the idle sessions of the pool.
    source.fork().await?.close().await?;
    let elsewhere = source.connect_options().database("postgres");
    let mut admin = PgConnection::connect_with(&elsewhere).await?;
    // The strategy that ebbtide uses on a server without `fsync`.
    let fast = "select current_setting('fsync') = 'off' and \
                current_setting('server_version_num')::int >= 150000";
    let is_fast: bool = sqlx::query_scalar(fast).fetch_one(&mut admin).await?;
    let strategy = if is_fast { "strategy file_copy" } else { "" };
    let name = format!("plain_{}", std::process::id());
    let create = format!(
        "create database {name} template {} {strategy}",
        source.name()
    );
    let began = Instant::now();
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut admin)
        .await?;
    let took = began.elapsed();
    let drop = format!("drop database {name}");
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(&mut admin)
        .await?;
    admin.close().await?;
    Ok(took)
}

async fn fork(source: &Database) -> Result<Duration, Error> {
    let began = Instant::now();
    let fork = source.fork().await?;
    let took = began.elapsed();
    fork.close().await?;
    Ok(took)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
