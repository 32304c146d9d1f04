//! From nothing running to the first row, side by side and in turns. Prints medians and their ratios.
//!
//! On this machine: `initdb` and `pg_ctl start` as one would type them, and ebbtide's start on its cached `initdb`.
//! In containers, where an engine has an image of PostgreSQL: `docker run` of nothing, which is the floor; `docker run`
//! of the image, polled from the host, as documented and tuned by hand; ebbtide without a cache; and ebbtide with
//! prepared data.
//!
//! `cargo run --release --example cold_start`, with `-- --json` for one JSON object, `-- --rounds 9` for more rounds.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod docker;
mod figures;
mod native;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use ebbtide::{Backend, Builder, Harness};

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
                    read.rounds = words.next().ok_or("--rounds needs a number")?.parse()?
                }
                _ => return Err(format!("{word}? There are --json and --rounds NUMBER").into()),
            }
        }
        if read.rounds == 0 {
            Err("one round at least".into())
        } else {
            Ok(read)
        }
    }
}

async fn compare(dir: &Path, rounds: usize) -> Result<Figures, Error> {
    let mut figures = Figures::new(rounds);
    let native = native::Native::prepare(dir, &mut figures).await?;
    let docker = docker::Docker::prepare(dir, &mut figures).await?;
    // In turns, so that all see the same noise.
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

/// A server of its own, which ends as soon as the harness is dropped.
fn lonely(backend: Backend, state: &Path) -> Builder {
    Harness::builder()
        .backend(backend)
        .state_dir(state)
        .linger(Duration::ZERO)
}

/// The harness, unless a variable has overruled the builder.
fn build(builder: Builder, backend: Backend) -> Result<Harness, Error> {
    let harness = builder.build()?;
    if *harness.plan().backend == backend {
        return Ok(harness);
    }
    Err(format!(
        "both backends are compared: unset {}",
        harness.plan().backend.source
    )
    .into())
}

/// Waits until no server is left in a state directory.
async fn until_deserted(state: &Path) -> Result<(), Error> {
    while std::fs::read_dir(state.join("servers"))?.next().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
