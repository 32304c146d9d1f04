//! Servers from installed binaries.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ebbtide::{ErrorKind, Harness};

use ebbtide::config::Backend;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

use crate::Error;
use crate::figures::Figures;

pub(crate) struct Native {
    dir: PathBuf,
    binaries: PathBuf,
    /// The user and group ids for a server that root starts.
    account: Option<(u32, u32)>,
}

impl Native {
    /// Finds the binaries that ebbtide uses, and fills its cache before the measurement.
    pub(crate) async fn prepare(dir: &Path, figures: &mut Figures) -> Result<Option<Self>, Error> {
        let dir = dir.join("n");
        std::fs::create_dir(&dir)?;
        std::fs::write(dir.join("ebbtide.toml"), "")?;
        let account = server_account(&dir)?;
        let began = Instant::now();
        let harness = harness(&dir)?;
        let mut tx = match harness.tx().await {
            Ok(tx) => tx,
            Err(error) if error.kind() == ErrorKind::BinariesNotFound => {
                figures.note(format!("native servers are not measured: {error}"));
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let with_empty_cache = began.elapsed();
        let binaries = sqlx::query("select setting from pg_config where name = 'BINDIR'")
            .fetch_one(&mut *tx)
            .await?;
        let binaries = PathBuf::from(binaries.try_get::<String, _>(0)?);
        tx.close().await?;
        drop(harness);
        crate::wait_until_ended(&dir.join("s")).await?;
        figures.note(format!(
            "native: {}; {} ms with an empty cache",
            binaries.display(),
            with_empty_cache.as_millis()
        ));
        figures.line("native", "initdb and pg_ctl -w start", &[]);
        figures.line(
            "native.ebbtide",
            "ebbtide with its cached initdb",
            &["native"],
        );
        Ok(Some(Self {
            dir,
            binaries,
            account,
        }))
    }

    pub(crate) async fn round(&self, round: usize, figures: &mut Figures) -> Result<(), Error> {
        figures.add(
            "native",
            self.measure_pg_ctl(&self.dir.join(format!("plain-{round}")))
                .await?,
        );
        let harness = harness(&self.dir)?;
        let began = Instant::now();
        let server = harness.start().await?;
        figures.add("native.ebbtide", began.elapsed());
        assert!(!server.reused, "the server of the previous round still ran");
        drop(harness);
        crate::wait_until_ended(&self.dir.join("s")).await
    }

    /// The time from `initdb` to the first row.
    async fn measure_pg_ctl(&self, data: &Path) -> Result<Duration, Error> {
        let sockets = data.parent().unwrap_or(data);
        let run = |program: &str, arguments: &[&str]| -> Result<(), Error> {
            let mut command = Command::new(self.binaries.join(program));
            command
                .args(arguments)
                .arg("-D")
                .arg(data)
                .current_dir("/")
                .stdout(Stdio::null());
            if let Some((uid, gid)) = self.account {
                command.uid(uid).gid(gid);
            }
            if command.status()?.success() {
                Ok(())
            } else {
                Err(format!("{program} failed").into())
            }
        };
        let options = format!("-k {} -c listen_addresses=''", sockets.display());
        let log = data.with_extension("log");
        let began = Instant::now();
        run("initdb", &["--auth=trust", "--username=postgres"])?;
        run(
            "pg_ctl",
            &["-w", "-l", &log.to_string_lossy(), "-o", &options, "start"],
        )?;
        let connect = PgConnectOptions::new_without_pgpass()
            .socket(sockets)
            .username("postgres")
            .database("postgres");
        let mut connection = PgConnection::connect_with(&connect).await?;
        sqlx::query("select 1").execute(&mut connection).await?;
        let time = began.elapsed();
        connection.close().await?;
        run("pg_ctl", &["-w", "-m", "immediate", "stop"])?;
        std::fs::remove_dir_all(data)?;
        Ok(time)
    }
}

fn harness(dir: &Path) -> Result<Harness, Error> {
    let builder =
        crate::dedicated(Backend::Native, &dir.join("s")).config_file(dir.join("ebbtide.toml"));
    crate::build(
        builder.without_migrations().without_seeds(),
        Backend::Native,
    )
}

/// The user and group ids for a server that root starts. That user becomes the directory's owner.
fn server_account(dir: &Path) -> Result<Option<(u32, u32)>, Error> {
    if std::fs::metadata(dir)?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let Some(line) = users.lines().find(|line| line.starts_with("postgres:")) else {
        return Ok(None);
    };
    let mut fields = line.split(':').skip(2);
    let mut number = || {
        fields
            .next()
            .and_then(|field| field.parse().ok())
            .ok_or("/etc/passwd must have numeric ids for the user postgres")
    };
    let (uid, gid) = (number()?, number()?);
    chown(dir, Some(uid), Some(gid))?;
    Ok(Some((uid, gid)))
}
