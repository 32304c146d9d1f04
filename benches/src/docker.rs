//! Servers in containers, started with the `docker` command and with ebbtide.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::Harness;
use ebbtide::config::{Cache, Container};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use testcontainers_modules::postgres::Postgres;
use testcontainers_modules::testcontainers::ImageExt as _;
use testcontainers_modules::testcontainers::runners::AsyncRunner as _;

use crate::Error;
use crate::project::{until, until_no_server};

/// How long a server may take to return its first row.
const FIRST_ROW_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(crate) struct Docker {
    pub(crate) image: String,
    dir: PathBuf,
}

/// The options of `docker run`.
#[derive(Debug)]
pub(crate) enum RunOptions {
    /// As in the image's documentation.
    Documented,
    /// Without durability, and with the data in memory.
    Tuned,
}

impl Docker {
    /// Finds an engine with an image. `dir` is for the state of ebbtide's servers.
    pub(crate) fn find(dir: &Path) -> Result<Self, Error> {
        if std::env::var_os("EBBTIDE_BACKEND").is_some_and(|value| value != "container") {
            return Err("EBBTIDE_BACKEND selects another backend; unset it".into());
        }
        docker(&["version", "--format", "{{.Server.Version}}"])?;
        let image = image()?.ok_or("no image; `docker pull postgres:17` or set EBBTIDE_IMAGE")?;
        std::fs::write(dir.join("ebbtide.toml"), "")?;
        Ok(Self {
            image,
            dir: dir.to_owned(),
        })
    }

    /// The time from `docker run` to the first row through the published port.
    pub(crate) async fn run(&self, options: &RunOptions) -> Result<Duration, Error> {
        let (options, server) = match options {
            RunOptions::Documented => ("", ""),
            RunOptions::Tuned => (
                "--tmpfs /d --env PGDATA=/d/data --env POSTGRES_INITDB_ARGS=--no-sync",
                "-c fsync=off",
            ),
        };
        let usual = "run --detach --rm --publish 127.0.0.1::5432 --env POSTGRES_PASSWORD=secret";
        let words = usual
            .split(' ')
            .chain(options.split_whitespace())
            .chain([self.image.as_str()]);
        let words: Vec<&str> = words.chain(server.split_whitespace()).collect();
        let began = Instant::now();
        let container = docker(&words)?;
        let time = until_first_row(&container, began).await;
        docker(&["rm", "--force", "--volumes", &container])?;
        time
    }

    /// ebbtide's time to the first row of a test on the salon's database. Returns after the
    /// container is removed.
    pub(crate) async fn ebbtide(&self, cache: Cache) -> Result<Duration, Error> {
        let state = self.dir.join("state");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let harness = Harness::builder()
            .backend(Container::new().image(&self.image))
            .cache(cache)
            .state_dir(&state)
            .linger(Duration::ZERO)
            .package_root(root)
            .config_file(format!("{root}/ebbtide.toml"))
            .build()?;
        let began = Instant::now();
        let time = first_test(&harness, began).await;
        let containers = self.containers()?;
        drop(harness);
        until_no_server(&state).await?;
        for container in containers {
            let filter = format!("name={container}");
            // The container saves the prepared data before it is removed.
            until("the container's removal", || {
                Ok(docker(&["ps", "--all", "--quiet", "--filter", &filter])?.is_empty())
            })
            .await?;
        }
        time
    }

    /// The time of testcontainers with its module for PostgreSQL, to the first row.
    pub(crate) async fn testcontainers(&self) -> Result<Duration, Error> {
        let (name, tag) = self
            .image
            .rsplit_once(':')
            .unwrap_or((&self.image, "latest"));
        let image = Postgres::default().with_name(name).with_tag(tag);
        let began = Instant::now();
        let container = image.start().await?;
        let port = container.get_host_port_ipv4(5432).await?;
        let time = until_first_row_at(port, "postgres", began).await;
        container.rm().await?;
        time
    }

    /// The names of the containers, which contain the names of their instance directories.
    fn containers(&self) -> Result<Vec<String>, Error> {
        let entries =
            std::fs::read_dir(self.dir.join("state/servers"))?.collect::<Result<Vec<_>, _>>()?;
        let dirs = entries.iter().filter(|entry| entry.path().is_dir());
        Ok(dirs
            .map(|entry| format!("ebbtide-{}", entry.file_name().display()))
            .collect())
    }
}

/// The time to the first row of a test.
async fn first_test(harness: &Harness, began: Instant) -> Result<Duration, Error> {
    let server = harness.start().await?;
    if server.reused {
        return Err("the server of the previous round is still running".into());
    }
    let mut tx = harness.tx().await?;
    let services: i64 = sqlx::query_scalar("select count(*) from services")
        .fetch_one(&mut *tx)
        .await?;
    let time = began.elapsed();
    tx.close().await?;
    if services == 15 {
        Ok(time)
    } else {
        Err(format!("15 services expected, found {services}").into())
    }
}

async fn until_first_row(container: &str, began: Instant) -> Result<Duration, Error> {
    let address = docker(&["port", container, "5432"])?;
    let port = address.rsplit(':').next().unwrap_or_default().parse()?;
    until_first_row_at(port, "secret", began).await
}

async fn until_first_row_at(port: u16, password: &str, began: Instant) -> Result<Duration, Error> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .password(password)
        .database("postgres");
    while let Err(error) = try_first_row(&options).await {
        if began.elapsed() > FIRST_ROW_TIMEOUT {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(began.elapsed())
}

async fn try_first_row(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let attempt = async {
        let mut connection: PgConnection = options.connect().await?;
        sqlx::query("select 1").execute(&mut connection).await?;
        connection.close().await
    };
    // A published port may accept a connection without ever sending a byte.
    tokio::time::timeout(Duration::from_secs(2), attempt)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// The image in the variable `EBBTIDE_IMAGE`, or the engine's first image `postgres`.
fn image() -> Result<Option<String>, Error> {
    if let Ok(image) = std::env::var("EBBTIDE_IMAGE") {
        return Ok(Some(image));
    }
    let images = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "postgres"])?;
    Ok(images
        .lines()
        .find(|image| !image.ends_with("<none>"))
        .map(str::to_owned))
}

/// Runs the `docker` command and returns its output.
pub(crate) fn docker(arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new("docker").args(arguments).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?.trim().to_owned());
    }
    Err(format!(
        "docker {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    )
    .into())
}
