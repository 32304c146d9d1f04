//! Compares ebbtide with bare PostgreSQL and with other libraries, and prints ratios.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml [-- NAME ..]`, where a name is a
//! benchmark or a group. Without a name it runs all except `build-time`. `-- --list` prints the
//! names. See `docs/benchmarks.md`.
//!
//! The sides of a comparison alternate, so that all are measured under the same load.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

mod account;
mod bars;
mod binaries;
#[cfg(feature = "container")]
mod docker;
mod footprint;
mod growth;
mod memory;
mod others;
mod project;
mod ratios;
mod scratch;
mod suite;
mod table;

use std::time::{Duration, Instant};

use scratch::Scratch;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The groups of benchmarks, in the order in which they run.
const GROUPS: [(&str, &[(&str, &str)]); 4] = [
    ("bars", &bars::BENCHMARKS),
    ("others", &others::BENCHMARKS),
    ("growth", &growth::BENCHMARKS),
    ("footprint", &footprint::BENCHMARKS),
];

/// The benchmarks that run only if their own names are given, because they take many minutes.
const SLOW: [&str; 1] = ["build-time"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        for (group, benchmarks) in GROUPS {
            for (name, about) in benchmarks {
                println!("{group:<8} {name:<22} {about}");
            }
        }
        return Ok(());
    }
    #[cfg(feature = "others")]
    if let [alone, side] = words.as_slice()
        && alone == "--alone"
    {
        println!("{}", others::run_alone(side).await?);
        return Ok(());
    }
    let chosen = chosen(&words)?;
    let began = Instant::now();
    let scratch = Scratch::new()?;
    for (group, name) in chosen {
        let began = Instant::now();
        let result = match group {
            "bars" => bars::run(name, &scratch).await,
            "footprint" => footprint::run(name, &scratch).await,
            "growth" => growth::run(name, &scratch).await,
            _ => others::run(name, &scratch).await,
        };
        // A benchmark that fails does not end the run, because the others are independent of it.
        if let Err(error) = result {
            println!("{name:<22} FAILED: {error}");
        }
        println!("{:<22} {}", "", seconds(began.elapsed()));
    }
    println!("total: {}", seconds(began.elapsed()));
    Ok(())
}

/// The benchmarks that the words name, each with its group.
fn chosen(words: &[String]) -> Result<Vec<(&'static str, &'static str)>, Error> {
    let all = || {
        GROUPS
            .into_iter()
            .flat_map(|(group, benchmarks)| benchmarks.iter().map(move |(name, _)| (group, *name)))
    };
    if words.is_empty() {
        let quick = all().filter(|(_, name)| !SLOW.contains(name));
        return Ok(quick.collect());
    }
    for word in words {
        if !all().any(|(group, name)| word == group || word == name) {
            return Err(
                format!("no benchmark or group {word}; `-- --list` prints the names").into(),
            );
        }
    }
    Ok(all()
        .filter(|(group, name)| {
            words
                .iter()
                .any(|word| word == name || (word == group && !SLOW.contains(name)))
        })
        .collect())
}

fn seconds(time: Duration) -> String {
    format!("({:.0} s)", time.as_secs_f64())
}
