//! Runs the same 300 tests with `#[sqlx::test]`, with ebbtide and with bare transactions, on one
//! server. Prints wall times and ratios, once for `cargo test` and once for nextest.
//!
//! `cargo run -p ebbtide-compare [-- ROUNDS]`

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Error = Box<dyn std::error::Error>;

/// The test binaries, with a description of their tests.
const SIDES: [(&str, &str); 5] = [
    ("sqlx_test", "#[sqlx::test], PgPool"),
    ("pool", "#[ebbtide::test], PgPool"),
    ("rollback", "#[ebbtide::test(pool = \"sandbox\")], PgPool"),
    ("transaction", "#[ebbtide::test], Tx"),
    ("bare", "bare connection, BEGIN and ROLLBACK"),
];
const TEST_COUNT: u32 = 300;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let fixture = include_str!("../tests/fixtures/customers.sql");
    let dir = env!("CARGO_MANIFEST_DIR");
    let harness = ebbtide::Harness::builder()
        .config_file(format!("{dir}/ebbtide.toml"))
        .build()?;
    let harness = harness.with_setup(ebbtide::Setup::new().fixture("customers.sql", fixture));
    let server = harness.start().await?;
    println!(
        "PostgreSQL {}, {} backend ({}); {TEST_COUNT} tests, 20 migrations, one fixture file",
        server.server_version, server.backend, server.reason
    );
    // Open until the end: the database for the tests on bare connections. It also keeps the server
    // running.
    let database = harness.database().await?;
    let admin = harness.database().await?;
    for (runner, run) in [
        ("cargo test", cargo_test as Run),
        ("cargo nextest run", nextest as Run),
    ] {
        println!(
            "\n{runner}\n{:>9} {:>10} {:>9}  side",
            "seconds", "ms / test", "speedup"
        );
        let mut times = vec![Vec::new(); SIDES.len()];
        for _ in 0..rounds {
            for ((side, _), times) in SIDES.iter().zip(&mut times) {
                times.push(run(side, database.url(), admin.url())?);
            }
        }
        let medians: Vec<Duration> = times.into_iter().map(median).collect();
        for ((_, what), took) in SIDES.iter().zip(&medians) {
            println!(
                "{:>9.2} {:>10.2} {:>8.1}x  {what}",
                took.as_secs_f64(),
                took.as_secs_f64() * 1e3 / f64::from(TEST_COUNT),
                medians[0].as_secs_f64() / took.as_secs_f64()
            );
        }
    }
    admin.close().await?;
    database.close().await?;
    Ok(())
}

type Run = fn(&str, &str, &str) -> Result<Duration, Error>;

fn cargo_test(side: &str, bare: &str, admin: &str) -> Result<Duration, Error> {
    timed(
        side,
        bare,
        admin,
        &[
            "test",
            "--package",
            "ebbtide-compare",
            "--test",
            side,
            "--",
            "--quiet",
        ],
    )
}

fn nextest(side: &str, bare: &str, admin: &str) -> Result<Duration, Error> {
    timed(
        side,
        bare,
        admin,
        &[
            "nextest",
            "run",
            "--package",
            "ebbtide-compare",
            "--test",
            side,
            "--show-progress",
            "none",
        ],
    )
}

/// The time of a run, without the time that cargo needs to check that the binaries are up to date. A
/// run that executes no test measures that time.
fn timed(side: &str, bare: &str, admin: &str, arguments: &[&str]) -> Result<Duration, Error> {
    let variables = [("DATABASE_URL", admin), ("COMPARE_URL", bare)];
    let without_tests: &[&str] = match arguments[0] {
        "nextest" => &[
            "nextest",
            "list",
            "--package",
            "ebbtide-compare",
            "--test",
            side,
        ],
        _ => &[
            "test",
            "--package",
            "ebbtide-compare",
            "--test",
            side,
            "--no-run",
        ],
    };
    let run = |arguments: &[&str]| {
        let began = Instant::now();
        run_to_success(cargo().args(arguments).envs(variables), side)?;
        Ok::<_, Error>(began.elapsed())
    };
    // The first run builds the binaries.
    run(without_tests)?;
    let overhead = run(without_tests)?;
    Ok(run(arguments)?.saturating_sub(overhead))
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.stdin(Stdio::null());
    command
}

fn run_to_success(command: &mut Command, what: &str) -> Result<(), Error> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("{what}: {}\n{stdout}\n{stderr}", output.status).into())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
