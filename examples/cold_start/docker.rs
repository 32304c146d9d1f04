//! Servers in containers, started with the `docker` command and with ebbtide.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::Harness;

use ebbtide::config::{Backend, Cache, Container};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::Error;
use crate::figures::Figures;

/// An image whose command does nothing. Its run time is the lower bound.
const TRUE_IMAGE: &str = "ebbtide-true";
/// How long a server may take to return its first row.
const FIRST_ROW_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) struct Docker {
    image: String,
    has_true_image: bool,
    state: PathBuf,
}

/// The options of `docker run`.
enum RunOptions {
    /// As in the image's documentation.
    Documented,
    /// Without durability, and with the data in memory.
    Tuned,
}

/// Times from the start of the server.
struct Times {
    server: Duration,
    test: Duration,
    /// Whether the prepared data contained the template.
    prepared: bool,
}

impl Docker {
    /// Finds an existing image, and prepares the data in its volume before the measurement.
    pub(crate) async fn prepare(dir: &Path, figures: &mut Figures) -> Result<Option<Self>, Error> {
        let Ok(version) = docker(&["version", "--format", "{{.Server.Version}}"]) else {
            figures.note("containers are not measured: `docker version` fails".to_owned());
            return Ok(None);
        };
        let Some(image) = image()? else {
            figures.note(
                "containers are not measured: no image; `docker pull postgres:17` or set EBBTIDE_IMAGE"
                    .to_owned(),
            );
            return Ok(None);
        };
        let has_true_image = !docker(&["images", "--quiet", TRUE_IMAGE])?.is_empty();
        let this = Self {
            image,
            has_true_image,
            state: dir.join("c"),
        };
        figures.line("docker.floor", "docker run of `true`", &[]);
        figures.line("docker", "docker run, polled to the first row", &[]);
        figures.line(
            "docker.tuned",
            "docker run in memory, without fsync",
            &["docker"],
        );
        figures.line(
            "container",
            "ebbtide without a cache, first row",
            &["docker", "docker.tuned"],
        );
        figures.line(
            "container.test",
            "... first row of a provisioned test",
            &["docker", "docker.tuned"],
        );
        figures.line(
            "container.cached",
            "ebbtide with prepared data, first row",
            &["docker", "docker.tuned"],
        );
        figures.line(
            "container.cached.test",
            "... first row of a provisioned test",
            &["docker", "container.test"],
        );
        // The first run saves the data that the second one uses.
        for _ in 0..2 {
            this.measure_ebbtide(Cache::Auto).await?;
        }
        figures.note(format!(
            "containers: {} on Docker {version}; the test uses the salon's database",
            this.image
        ));
        Ok(Some(this))
    }

    pub(crate) async fn round(&self, figures: &mut Figures) -> Result<(), Error> {
        if self.has_true_image {
            let began = Instant::now();
            docker(&["run", "--rm", TRUE_IMAGE])?;
            figures.add("docker.floor", began.elapsed());
        }
        figures.add(
            "docker",
            self.measure_docker_run(RunOptions::Documented).await?,
        );
        figures.add(
            "docker.tuned",
            self.measure_docker_run(RunOptions::Tuned).await?,
        );
        let times = self.measure_ebbtide(Cache::Never).await?;
        figures.add("container", times.server);
        figures.add("container.test", times.test);
        let times = self.measure_ebbtide(Cache::Auto).await?;
        if !times.prepared {
            figures.note(
                "a round with prepared data is left out: another process replaced the data"
                    .to_owned(),
            );
            return Ok(());
        }
        figures.add("container.cached", times.server);
        figures.add("container.cached.test", times.test);
        Ok(())
    }

    /// The time from `docker run` to the first row through the published port.
    async fn measure_docker_run(&self, options: RunOptions) -> Result<Duration, Error> {
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

    /// The times of ebbtide on a dedicated server. Returns after the container is removed.
    async fn measure_ebbtide(&self, cache: Cache) -> Result<Times, Error> {
        let container = Container::new().image(&self.image).cache(cache);
        let builder = crate::dedicated(container, &self.state);
        let harness = crate::build(builder, Backend::Container)?;
        let began = Instant::now();
        let server = harness.start().await?;
        let times = async { measure(&harness, began).await }.await;
        let containers = self.containers()?;
        drop(harness);
        crate::wait_until_ended(&self.state).await?;
        for container in containers {
            // The container saves the prepared data before it is removed.
            while !docker(&[
                "ps",
                "--all",
                "--quiet",
                "--filter",
                &format!("name={container}"),
            ])?
            .is_empty()
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        assert!(!server.reused, "the server of the previous round still ran");
        times
    }

    /// The names of the containers, which contain the names of their instance directories.
    fn containers(&self) -> Result<Vec<String>, Error> {
        let entries =
            std::fs::read_dir(self.state.join("servers"))?.collect::<Result<Vec<_>, _>>()?;
        let dirs = entries.iter().filter(|entry| entry.path().is_dir());
        Ok(dirs
            .map(|entry| format!("ebbtide-{}", entry.file_name().display()))
            .collect())
    }
}

/// The times, after the server's first response.
async fn measure(harness: &Harness, began: Instant) -> Result<Times, Error> {
    let server = began.elapsed();
    let mut tx = harness.tx().await?;
    let services: i64 = sqlx::query_scalar("select count(*) from services")
        .fetch_one(&mut *tx)
        .await?;
    let test = began.elapsed();
    assert_eq!(services, 15, "the salon's services");
    tx.close().await?;
    Ok(Times {
        server,
        test,
        prepared: harness.provision().await?.reused,
    })
}

async fn until_first_row(container: &str, began: Instant) -> Result<Duration, Error> {
    let port = docker(&["port", container, "5432"])?
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()?;
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port);
    let options = options
        .username("postgres")
        .password("secret")
        .database("postgres");
    while let Err(error) = first_row(&options).await {
        if began.elapsed() > FIRST_ROW_TIMEOUT {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(began.elapsed())
}

async fn first_row(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
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
fn docker(arguments: &[&str]) -> Result<String, Error> {
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
