//! What it takes to get a database for a test, side by side and in turns. Prints medians and their ratios.
//!
//! A warm lane against a bare connection, and a lane that has to be copied against `CREATE DATABASE ... STRATEGY
//! FILE_COPY` with a connection, on the same server and from the same template.
//!
//! `cargo run --release --example hand_out`, with `-- ROUNDS` for more or fewer than 40 rounds.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use ebbtide::{Database, Harness};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

type Error = Box<dyn std::error::Error>;

/// How many of a kind are lent one after the other.
const IN_A_ROW: usize = 10;
/// Lanes that are copied on demand in one go: fewer than are lent at once.
const COPIES: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let rounds: usize = std::env::args()
        .nth(1)
        .map_or(Ok(40), |text| text.parse())?;
    if rounds == 0 {
        return Err("one round at least".into());
    }
    let harness = Harness::builder().build()?;
    let server = harness.start().await?;
    let template = format!("ebbtide_t_{}", harness.provision().await?.fingerprint);
    println!(
        "PostgreSQL {}, {} backend, medians of {rounds} rounds",
        server.version, server.backend
    );
    let watch = harness.database().await?;
    warm(&harness, &watch, rounds).await?;
    on_demand(&harness, &watch, &template).await?;
    watch.close().await?;
    Ok(())
}

/// Something that is lent, against a connection that is made. Several of a kind in a row, as in a suite, and the kinds
/// in turns.
async fn warm(harness: &Harness, watch: &Database, rounds: usize) -> Result<(), Error> {
    let (mut bare, mut tx, mut sandbox, mut database, mut first) =
        (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..rounds.div_ceil(IN_A_ROW) {
        for _ in 0..IN_A_ROW {
            let options = watch.connect_options();
            let began = Instant::now();
            let connection = connect(&options).await?;
            bare.push(began.elapsed());
            connection.close().await?;
        }
        for _ in 0..IN_A_ROW {
            let began = Instant::now();
            let lent = harness.tx().await?;
            tx.push(began.elapsed());
            lent.close().await?;
        }
        for _ in 0..IN_A_ROW {
            let began = Instant::now();
            let lent = harness.sandbox().await?;
            sandbox.push(began.elapsed());
            lent.close().await?;
        }
        for _ in 0..IN_A_ROW {
            let began = Instant::now();
            let lent = harness.database().await?;
            database.push(began.elapsed());
            let connection = connect(&lent.connect_options()).await?;
            first.push(began.elapsed());
            connection.close().await?;
            lent.close().await?;
        }
    }
    let bare = median(bare);
    println!("\n{:>9} {:>12}  from a warm lane", "ms", "of a connect");
    print(bare, bare, "a bare connection");
    print(median(tx), bare, "Tx");
    print(median(sandbox), bare, "Sandbox");
    print(median(database), bare, "Database");
    print(
        median(first),
        bare,
        "Database, and the first connection to it",
    );
    Ok(())
}

/// A database that has to be copied first.
async fn on_demand(harness: &Harness, watch: &Database, template: &str) -> Result<(), Error> {
    let elsewhere = watch.connect_options().database("postgres");
    let (mut plain, mut ours) = (vec![], vec![]);
    // None of the lanes that are there is free then.
    let mut held = vec![harness.database().await?, harness.database().await?];
    let mut admin = connect(&elsewhere).await?;
    for number in 0..COPIES {
        let name = format!("plain_{}_{number}", std::process::id());
        let create = format!("create database {name} template \"{template}\" strategy file_copy");
        let began = Instant::now();
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut admin)
            .await?;
        let connection = connect(&elsewhere.clone().database(&name)).await?;
        plain.push(began.elapsed());
        connection.close().await?;

        let began = Instant::now();
        let lent = harness.database().await?;
        let connection = connect(&lent.connect_options()).await?;
        ours.push(began.elapsed());
        connection.close().await?;
        held.push(lent);
        sqlx::raw_sql(AssertSqlSafe(format!("drop database {name} with (force)")))
            .execute(&mut admin)
            .await?;
    }
    admin.close().await?;
    for lent in held {
        lent.close().await?;
    }
    let plain = median(plain);
    println!("\n{:>9} {:>12}  copied on demand", "ms", "of the plain");
    print(
        plain,
        plain,
        "CREATE DATABASE ... STRATEGY FILE_COPY, and a connection",
    );
    print(
        median(ours),
        plain,
        "Database, and the first connection to it",
    );
    Ok(())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(options).await
}

fn print(took: Duration, against: Duration, what: &str) {
    println!(
        "{:>9.3} {:>12.2}  {what}",
        took.as_secs_f64() * 1e3,
        took.as_secs_f64() / against.as_secs_f64()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
