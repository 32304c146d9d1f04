//! Large templates: the time to open the first `Tx` on a lane, which copies the template.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::config::Cache;

use super::curve::Curve;
use crate::Error;
use crate::project::Project;
use crate::scratch::Scratch;

/// Megabytes of rows. A database without rows has about 8 MB.
const SIZES: [u32; 3] = [10, 100, 1_000];
/// The number of copies of each size. All copies exist at the same time.
const ROUNDS: usize = 3;
/// The directory of the servers whose data is in memory.
const MEMORY_DIR: &str = "/dev/shm";

pub(super) async fn run(name: &str, scratch: &Scratch) -> Result<Curve, Error> {
    let mut curve = Curve::new("MB");
    let mut references = Vec::new();
    for size in SIZES {
        // The template, the write-ahead log of its build, the copies, and as much again.
        let needed = u64::from(size) * 2 * (2 + ROUNDS as u64);
        let free = free_megabytes(Path::new(MEMORY_DIR))?;
        if free < needed {
            skip(name, size, free, needed);
            continue;
        }
        let times = copies(scratch, size).await?;
        if references.is_empty() {
            references.clone_from(&times);
        }
        for (time, reference) in times.iter().zip(&references) {
            curve.add(size, *time, *reference);
        }
    }
    Ok(curve)
}

#[expect(clippy::print_stdout, reason = "the program prints its results")]
fn skip(name: &str, size: u32, free: u64, needed: u64) {
    println!("{name:<22} SKIPPED {size} MB: {free} MB of memory are free, {needed} MB are needed");
}

/// The times of the copies of one template.
async fn copies(scratch: &Scratch, size: u32) -> Result<Vec<Duration>, Error> {
    let project = Project::new(scratch, &format!("growth-template-{size}"), 10)?;
    project.fill(size)?;
    let harness = project.start(Cache::Never).await?;
    harness.provision().await?;
    let mut times = Vec::new();
    // While a test holds a lane, the next test gets another one.
    let mut open = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        open.push(harness.tx().await?);
        times.push(began.elapsed());
    }
    for tx in open {
        tx.close().await?;
    }
    drop(harness);
    project.until_ended().await?;
    Ok(times)
}

/// The megabytes that are free on a file system, and not more than the available memory.
fn free_megabytes(dir: &Path) -> Result<u64, Error> {
    let output = Command::new("df").arg("-Pk").arg(dir).output()?;
    let text = String::from_utf8(output.stdout)?;
    // Filesystem 1024-blocks Used Available ..
    let on_disk = text
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok())
        .ok_or_else(|| format!("df -Pk {}: {text}", dir.display()))?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .ok_or("/proc/meminfo must have the line MemAvailable")?;
    Ok(on_disk.min(available) / 1024)
}
