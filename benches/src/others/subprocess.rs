//! Libraries that start servers with the rights of the current account, and which root therefore
//! cannot use. This program starts itself with another account's rights.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgtemp::PgTempDB;
use postgresql_embedded::{PostgreSQL, Settings};
use sqlx::postgres::PgConnectOptions;

use crate::Error;
use crate::account::Account;
use crate::binaries::{bin_dir, first_row};

/// The program, copied to a place that the account can read.
#[derive(Debug)]
pub(super) struct Subprocess {
    program: PathBuf,
    dir: PathBuf,
    account: Account,
}

impl Subprocess {
    pub(super) fn new(dir: &Path, account: Account) -> Result<Self, Error> {
        let program = dir.join("program");
        std::fs::copy(std::env::current_exe()?, &program)?;
        Ok(Self {
            program,
            dir: dir.to_owned(),
            account,
        })
    }

    /// The time of one side, which the process itself measures and prints.
    pub(super) fn measure(&self, side: &str) -> Result<Duration, Error> {
        let mut command = Command::new(&self.program);
        command
            .args(["--alone", side])
            .env("TMPDIR", &self.dir)
            .stdin(Stdio::null());
        self.account.apply(&mut command);
        let output = command.output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{side}: {}\n{stderr}", output.status).into());
        }
        let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        Ok(Duration::from_secs_f64(seconds))
    }
}

/// Measures one side in this process and returns the seconds.
pub(crate) async fn run_alone(side: &str) -> Result<f64, Error> {
    match side {
        "pgtemp" => pgtemp().await,
        "postgresql_embedded" => postgresql_embedded().await,
        _ => Err(format!("no side {side}").into()),
    }
}

async fn pgtemp() -> Result<f64, Error> {
    let bin = bin_dir()?;
    let began = Instant::now();
    let server = PgTempDB::builder().with_bin_path(bin).start_async().await;
    let options = PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .port(server.db_port())
        .username(server.db_user())
        .password(server.db_pass())
        .database(server.db_name());
    // The library returns while the server still starts.
    while let Err(error) = first_row(&options).await {
        if began.elapsed() > Duration::from_mins(1) {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// With the installed binaries, so that nothing is downloaded.
async fn postgresql_embedded() -> Result<f64, Error> {
    let bin = bin_dir()?;
    let installation = bin.parent().ok_or("the binaries are in no directory")?;
    let mut settings = Settings::new();
    settings.installation_dir = installation.to_owned();
    settings.trust_installation_dir = true;
    // Debian's default directory for sockets is not writable for every account.
    settings.socket_dir = Some(std::env::temp_dir().join("sockets"));
    settings.timeout = Some(Duration::from_mins(1));
    let began = Instant::now();
    let mut server = PostgreSQL::new(settings);
    server.setup().await?;
    server.start().await?;
    let settings = server.settings();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(settings.port)
        .username(&settings.username)
        .password(&settings.password)
        .database("postgres");
    first_row(&options).await?;
    let took = began.elapsed();
    server.stop().await?;
    Ok(took.as_secs_f64())
}
