//! Measures how long large SQL files take as seeds, beside psql and the driver alone. Also measures
//! by how much the peak memory of this process grows.
//!
//! `cargo run --release --example sql_files`, with `-- MEGABYTES` for another size of the COPY than
//! 200. It needs `psql` in the directory of the server's binaries.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::{Database, Harness};
use sqlx::AssertSqlSafe;

type Error = Box<dyn std::error::Error>;

const TABLE: &str = "create table notes (id int, note text);\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let megabytes: usize = std::env::args()
        .nth(1)
        .map_or(Ok(200), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("ebbtide-sql-files-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("seeds"))?;
    std::fs::write(dir.join("ebbtide.toml"), "")?;
    let measured = measure_all(&dir, megabytes).await;
    std::fs::remove_dir_all(&dir)?;
    measured
}

async fn measure_all(dir: &Path, megabytes: usize) -> Result<(), Error> {
    measure(dir, "COPY of 2 MB", &copy(2), Driver::CannotRun).await?;
    let name = format!("COPY of {megabytes} MB");
    measure(dir, &name, &copy(megabytes), Driver::CannotRun).await?;
    measure(
        dir,
        "200,000 INSERT",
        &inserts(200_000),
        Driver::EachStatement,
    )
    .await?;
    measure(
        dir,
        "one INSERT of 30 MB",
        &one_insert(30),
        Driver::OneMessage,
    )
    .await?;
    measure(
        dir,
        "one value of 30 MB",
        &one_value(30),
        Driver::OneMessage,
    )
    .await?;
    Ok(())
}

/// How the driver alone executes a file.
#[derive(Clone, Copy)]
enum Driver {
    CannotRun,
    OneMessage,
    /// One message for each line, in one transaction.
    EachStatement,
}

async fn measure(dir: &Path, name: &str, text: &str, driver: Driver) -> Result<(), Error> {
    // Different contents in each run, so that no template exists yet.
    let text = format!("{TABLE}-- {}\n{text}", std::process::id());
    let file = dir.join("seeds/1.sql");
    std::fs::write(&file, &text)?;
    let empty = harness(dir).without_seeds().build()?;
    let began = Instant::now();
    psql(&empty, &file).await?;
    let by_psql = began.elapsed();
    let by_driver = match driver {
        Driver::CannotRun => None,
        driver => Some(by_driver(&empty, &text, driver).await?),
    };
    drop(text);
    let seeded = harness(dir).seeds(dir.join("seeds")).build()?;
    // Linux sets the peak to the present size.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let memory = peak_megabytes()?;
    let report = seeded.provision().await?.provisioned;
    let grown = peak_megabytes()? - memory;
    let phase = report.phases.iter().find(|phase| phase.name == "seeds");
    let by_ebbtide = phase.map_or(Duration::ZERO, |phase| phase.took);
    let ratio = |other: Duration| by_ebbtide.as_secs_f64() / other.as_secs_f64();
    println!(
        "{name}: {by_ebbtide:.1?}, psql {by_psql:.1?} (ratio {:.2}){}, memory {grown} MB more, \
         {} rows",
        ratio(by_psql),
        by_driver.map_or_else(String::new, |took| {
            format!(", driver {took:.1?} (ratio {:.2})", ratio(took))
        }),
        report.rows["notes"],
    );
    Ok(())
}

fn harness(dir: &Path) -> ebbtide::config::Builder {
    Harness::builder()
        .config_file(dir.join("ebbtide.toml"))
        .without_migrations()
        .provision_timeout(Duration::from_mins(10))
}

async fn psql(harness: &Harness, file: &Path) -> Result<(), Error> {
    let database = harness.database().await?;
    let status = Command::new(bin_dir(&database).await?.join("psql"))
        .args(["--no-psqlrc", "--quiet", "--single-transaction", "--file"])
        .arg(file)
        .arg(database.url())
        .status()?;
    database.close().await?;
    if status.success() {
        Ok(())
    } else {
        Err("psql has failed".into())
    }
}

async fn bin_dir(database: &Database) -> Result<PathBuf, Error> {
    let query = "select setting from pg_config where name = 'BINDIR'";
    let dir: String = sqlx::query_scalar(query)
        .fetch_one(&database.pool())
        .await?;
    Ok(dir.into())
}

async fn by_driver(harness: &Harness, text: &str, driver: Driver) -> Result<Duration, Error> {
    let database = harness.database().await?;
    let mut connection = database.pool().acquire().await?;
    let began = Instant::now();
    match driver {
        Driver::EachStatement => {
            sqlx::raw_sql("begin").execute(&mut *connection).await?;
            for line in text.lines() {
                let sent = AssertSqlSafe(line.to_owned());
                sqlx::raw_sql(sent).execute(&mut *connection).await?;
            }
            sqlx::raw_sql("commit").execute(&mut *connection).await?;
        }
        Driver::CannotRun | Driver::OneMessage => {
            let sent = AssertSqlSafe(text.to_owned());
            sqlx::raw_sql(sent).execute(&mut *connection).await?;
        }
    }
    let took = began.elapsed();
    drop(connection);
    database.close().await?;
    Ok(took)
}

fn copy(megabytes: usize) -> String {
    let mut text = "COPY notes (id, note) FROM stdin;\n".to_owned();
    let mut id = 0;
    while text.len() < megabytes * 1_000_000 {
        id += 1;
        writeln!(text, "{id}\t{}", "it's a note; ".repeat(7)).expect("a string grows");
    }
    text + "\\.\n"
}

fn inserts(count: usize) -> String {
    let line = |id| format!("INSERT INTO notes VALUES ({id}, 'it''s a note; or two');\n");
    (0..count).map(line).collect()
}

fn one_insert(megabytes: usize) -> String {
    let mut text = "INSERT INTO notes VALUES (0, '')".to_owned();
    while text.len() < megabytes * 1_000_000 {
        text += ", (1, 'it''s a note; or two')";
    }
    text + ";\n"
}

fn one_value(megabytes: usize) -> String {
    let value = "it''s a note; ".repeat(megabytes * 1_000_000 / 14);
    format!("INSERT INTO notes VALUES (1, '{value}');\n")
}

/// The peak of this process's resident memory. Linux counts it in this file.
fn peak_megabytes() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap_or_default().trim().trim_end_matches(" kB");
    Ok(kilobytes.parse::<u64>()? / 1000)
}
