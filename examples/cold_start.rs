//! From nothing running to the first row, side by side: `initdb` and `pg_ctl start` as one would type them, and
//! ebbtide's start on its cached `initdb`. Prints medians and their ratio.
//!
//! `cargo run --release --example cold_start`

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::{Backend, Harness};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

type Error = Box<dyn std::error::Error>;

const ROUNDS: usize = 7;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("ebbtide-cold-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    let result = compare(&folder).await;
    std::fs::remove_dir_all(&folder)?;
    result
}

async fn compare(folder: &Path) -> Result<(), Error> {
    let binaries = binaries().await?;
    let account = server_account(folder)?;
    // Fills the cache, which is not what is timed.
    let first = ours(folder).await?;
    println!("with an empty cache: {} ms", first.as_millis());
    let (mut plain_times, mut our_times) = (Vec::new(), Vec::new());
    // In turns, so that both see the same noise.
    for round in 0..ROUNDS {
        plain_times.push(plain(&binaries, &folder.join(format!("plain-{round}")), account).await?);
        our_times.push(ours(folder).await?);
    }
    let (plain, ours) = (median(plain_times), median(our_times));
    println!("initdb and pg_ctl -w start: {plain:.0} ms (median of {ROUNDS})");
    println!("ebbtide, cached initdb:     {ours:.0} ms (median of {ROUNDS})");
    println!("ratio: {:.3}", ours / plain);
    Ok(())
}

/// Where the binaries are that ebbtide finds, as a server of the default plan tells.
async fn binaries() -> Result<PathBuf, Error> {
    let mut tx =
        Harness::builder().without_migrations().without_seeds().config_file(empty_file()?).build()?.tx().await?;
    let row = sqlx::query("select setting from pg_config where name = 'BINDIR'").fetch_one(&mut *tx).await?;
    let folder: String = row.try_get(0)?;
    tx.close().await?;
    Ok(folder.into())
}

fn empty_file() -> std::io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("ebbtide-cold-{}/ebbtide.toml", std::process::id()));
    std::fs::write(&path, "")?;
    Ok(path)
}

/// A start on a server of its own. It ends as soon as the harness is dropped.
async fn ours(folder: &Path) -> Result<Duration, Error> {
    let state = folder.join("s");
    let harness = Harness::builder()
        .config_file(empty_file()?)
        .backend(Backend::Native)
        .without_migrations()
        .without_seeds()
        .state_dir(&state)
        .linger(Duration::ZERO)
        .build()?;
    let began = Instant::now();
    let server = harness.start().await?;
    let took = began.elapsed();
    assert!(!server.reused, "a server was still there");
    drop(harness);
    while std::fs::read_dir(state.join("servers"))?.next().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(took)
}

/// What one would type, to the first row.
async fn plain(binaries: &Path, data: &Path, account: Option<(u32, u32)>) -> Result<Duration, Error> {
    let sockets = data.parent().unwrap_or(data);
    let run = |program: &str, arguments: &[&str]| -> Result<(), Error> {
        let mut command = Command::new(binaries.join(program));
        command.args(arguments).arg("-D").arg(data).current_dir("/").stdout(std::process::Stdio::null());
        if let Some((uid, gid)) = account {
            command.uid(uid).gid(gid);
        }
        if command.status()?.success() { Ok(()) } else { Err(format!("{program} failed").into()) }
    };
    let options = format!("-k {} -c listen_addresses=''", sockets.display());
    let log = data.with_extension("log");
    let began = Instant::now();
    run("initdb", &["--auth=trust", "--username=postgres"])?;
    run("pg_ctl", &["-w", "-l", &log.to_string_lossy(), "-o", &options, "start"])?;
    let connect = PgConnectOptions::new_without_pgpass().socket(sockets).username("postgres").database("postgres");
    let mut connection = PgConnection::connect_with(&connect).await?;
    sqlx::query("select 1").execute(&mut connection).await?;
    let took = began.elapsed();
    connection.close().await?;
    run("pg_ctl", &["-w", "-m", "immediate", "stop"])?;
    std::fs::remove_dir_all(data)?;
    Ok(took)
}

/// The user for a server that root starts; it gets the folder.
fn server_account(folder: &Path) -> Result<Option<(u32, u32)>, Error> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:")).ok_or("there is no user postgres")?;
    let mut fields = line.split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).ok_or("an odd line in /etc/passwd");
    let (uid, gid) = (number()?, number()?);
    std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
    Ok(Some((uid, gid)))
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}
