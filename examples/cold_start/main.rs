//! Measures the time from the start of a server to the first row. Prints medians and their ratios.
//!
//! On this machine: `initdb` and `pg_ctl start` with usual options, and ebbtide with its cached
//! `initdb`.
//!
//! In containers, if an engine has an image of PostgreSQL: `docker run` of `true`, which is the
//! lower bound. Then `docker run` of the image, as documented and with tuned options, until the
//! server responds on the host. Then ebbtide without a cache, and with prepared data.
//!
//! `cargo run --release --example cold_start`, with `-- --json` for a JSON object, and
//! `-- --rounds 9` for more rounds.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

mod docker;
mod figures;
mod native;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use ebbtide::Harness;

use ebbtide::config::{Backend, BackendOptions, Builder};

use figures::Figures;

type Error = Box<dyn std::error::Error>;

struct Arguments {
    json: bool,
    rounds: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let dir = std::env::temp_dir().join(format!("ebbtide-cold-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
    let result = compare(&dir, arguments.rounds).await;
    std::fs::remove_dir_all(&dir)?;
    let figures = result?;
    if arguments.json {
        println!("{:#}", figures.as_json());
    } else {
        print!("{figures}");
    }
    Ok(())
}

impl Arguments {
    fn read() -> Result<Self, Error> {
        let mut read = Self {
            json: false,
            rounds: 5,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => read.json = true,
                "--rounds" => {
                    read.rounds = words.next().ok_or("--rounds needs a number")?.parse()?;
                }
                _ => {
                    return Err(format!(
                        "the options are --json and --rounds NUMBER, but found {word}"
                    )
                    .into());
                }
            }
        }
        if read.rounds == 0 {
            Err("--rounds must be at least 1".into())
        } else {
            Ok(read)
        }
    }
}

async fn compare(dir: &Path, rounds: usize) -> Result<Figures, Error> {
    let mut figures = Figures::new(rounds);
    let native = native::Native::prepare(dir, &mut figures).await?;
    let docker = docker::Docker::prepare(dir, &mut figures).await?;
    // Alternates between the kinds, so that all are measured under the same load.
    for round in 0..rounds {
        if let Some(native) = &native {
            native.round(round, &mut figures).await?;
        }
        if let Some(docker) = &docker {
            docker.round(&mut figures).await?;
        }
    }
    Ok(figures)
}

/// A builder for a dedicated server that ends as soon as the harness is dropped.
fn dedicated(backend: impl Into<BackendOptions>, state: &Path) -> Builder {
    Harness::builder()
        .backend(backend)
        .state_dir(state)
        .linger(Duration::ZERO)
}

/// Builds the harness. Fails if a variable has overridden the backend.
fn build(builder: Builder, backend: Backend) -> Result<Harness, Error> {
    let harness = builder.build()?;
    let chosen = harness
        .plan()
        .get("backend")
        .ok_or("a plan has a backend")?;
    if chosen.value == backend.to_string() {
        return Ok(harness);
    }
    Err(format!(
        "the comparison needs both backends; unset {}",
        chosen.source
    )
    .into())
}

/// Waits until no server of a state directory is left.
async fn wait_until_ended(state: &Path) -> Result<(), Error> {
    while std::fs::read_dir(state.join("servers"))?.next().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
