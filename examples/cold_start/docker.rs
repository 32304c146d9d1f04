//! Servers in containers, by Docker's own command and by ebbtide.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::{Backend, Cache, Harness};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::Error;
use crate::figures::Figures;

/// Does nothing, for the floor.
const NOTHING: &str = "ebbtide-true";
const GIVING_UP: Duration = Duration::from_mins(1);

pub(crate) struct Docker {
    image: String,
    has_floor: bool,
    state: PathBuf,
}

/// Whether it is started as its documentation shows it, or as one would who has read about durability.
enum Tuned {
    No,
    ByHand,
}

/// From the same moment on.
struct Times {
    server: Duration,
    test: Duration,
    /// Whether the template came with the data.
    prepared: bool,
}

impl Docker {
    /// Finds an image that is there, and prepares data in its volume, which is not what is timed.
    pub(crate) async fn prepare(dir: &Path, figures: &mut Figures) -> Result<Option<Self>, Error> {
        let Ok(version) = docker(&["version", "--format", "{{.Server.Version}}"]) else {
            figures.note("nothing in containers: `docker version` fails".to_owned());
            return Ok(None);
        };
        let Some(image) = image()? else {
            figures.note(
                "nothing in containers: `docker pull postgres:17` or set EBBTIDE_IMAGE".to_owned(),
            );
            return Ok(None);
        };
        let has_floor = !docker(&["images", "--quiet", NOTHING])?.is_empty();
        let this = Self {
            image,
            has_floor,
            state: dir.join("c"),
        };
        figures.line("docker.floor", "docker run of `true`", &[]);
        figures.line("docker", "docker run, polled to the first row", &[]);
        figures.line(
            "docker.tuned",
            "the same in memory, without fsync",
            &["docker"],
        );
        figures.line(
            "container",
            "ebbtide without a cache, first row",
            &["docker", "docker.tuned"],
        );
        figures.line(
            "container.test",
            "... a provisioned test's first row",
            &["docker", "docker.tuned"],
        );
        figures.line(
            "container.cached",
            "ebbtide with prepared data, first row",
            &["docker", "docker.tuned"],
        );
        figures.line(
            "container.cached.test",
            "... a provisioned test's first row",
            &["docker", "container.test"],
        );
        // What is saved is there for the second.
        for _ in 0..2 {
            this.ours(Cache::Auto).await?;
        }
        figures.note(format!(
            "containers: {} on Docker {version}; the test is of the salon",
            this.image
        ));
        Ok(Some(this))
    }

    pub(crate) async fn round(&self, figures: &mut Figures) -> Result<(), Error> {
        if self.has_floor {
            let began = Instant::now();
            docker(&["run", "--rm", NOTHING])?;
            figures.add("docker.floor", began.elapsed());
        }
        figures.add("docker", self.plain(Tuned::No).await?);
        figures.add("docker.tuned", self.plain(Tuned::ByHand).await?);
        let times = self.ours(Cache::Never).await?;
        figures.add("container", times.server);
        figures.add("container.test", times.test);
        let times = self.ours(Cache::Auto).await?;
        if !times.prepared {
            figures.note(
                "somebody else replaced the prepared data: a round with it is left out".to_owned(),
            );
            return Ok(());
        }
        figures.add("container.cached", times.server);
        figures.add("container.cached.test", times.test);
        Ok(())
    }

    /// What one would type, to the first row through the published port.
    async fn plain(&self, tuned: Tuned) -> Result<Duration, Error> {
        let (options, server) = match tuned {
            Tuned::No => ("", ""),
            Tuned::ByHand => (
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
        let took = until_first_row(&container, began).await;
        docker(&["rm", "--force", "--volumes", &container])?;
        took
    }

    /// On a server of its own, once its container has gone again.
    async fn ours(&self, cache: Cache) -> Result<Times, Error> {
        let builder = crate::lonely(Backend::Container, &self.state)
            .image(&self.image)
            .cache(cache);
        let harness = crate::build(builder, Backend::Container)?;
        let began = Instant::now();
        let server = harness.start().await?;
        let times = async { measure(&harness, began).await }.await;
        let containers = self.containers()?;
        drop(harness);
        crate::until_deserted(&self.state).await?;
        for container in containers {
            // It saves what it has prepared before it goes.
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
        assert!(!server.reused, "a server was still there");
        times
    }

    /// A container is called by its instance's directory.
    fn containers(&self) -> Result<Vec<String>, Error> {
        let entries =
            std::fs::read_dir(self.state.join("servers"))?.collect::<Result<Vec<_>, _>>()?;
        let dirs = entries.iter().filter(|entry| entry.path().is_dir());
        Ok(dirs
            .map(|entry| format!("ebbtide-{}", entry.file_name().display()))
            .collect())
    }
}

/// The server has just answered.
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
        if began.elapsed() > GIVING_UP {
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
    // A forwarded port may accept and say nothing.
    tokio::time::timeout(Duration::from_secs(2), attempt)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// The image that the variable names, or the first of PostgreSQL's own on the engine.
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

/// Runs Docker's command and returns what it prints.
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
