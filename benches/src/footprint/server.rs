//! The memory and the disk space of a native server, a lane, a template and a test process.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ebbtide::config::Cache;
use ebbtide::{Harness, Tx};

use crate::Error;
use crate::memory::{postmaster, processes_of, proportional_memory, status};
use crate::project::Project;
use crate::scratch::Scratch;

/// The number of lanes that are open for the memory and the disk space of one.
const LANE_COUNT: u64 = 8;

pub(super) async fn run(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let project = Project::new(scratch, name, 10)?;
    let harness = project.start(Cache::Never).await?;
    harness.provision().await?;
    let mut first = harness.tx().await?;
    let postmaster = postmaster(&mut first).await?;
    let data: String = sqlx::query_scalar("show data_directory")
        .fetch_one(&mut *first)
        .await?;
    let data = Path::new(&data);
    let (rss, pss) = memory(postmaster);
    let disk = disk_usage(data)?;
    print(name, "server with one lane: resident memory", rss);
    print(name, "server with one lane: proportional memory", pss);
    print(name, "server with one lane: disk space", disk);
    let template: Option<i64> = sqlx::query_scalar(
        "select oid::int8 from pg_database where datname like 'ebbtide\\_t\\_%' limit 1",
    )
    .fetch_optional(&mut *first)
    .await?;
    let template = template.ok_or("the server has no template")?;
    let template = disk_usage(&data.join(format!("base/{template}")))?;
    print(name, "template of 10 tables: disk space", template);
    let lanes = open(&harness).await?;
    let with_lanes = memory(postmaster).1;
    let lane = with_lanes.saturating_sub(pss) / LANE_COUNT;
    print(name, "a lane and its session: proportional memory", lane);
    let lane = disk_usage(data)?.saturating_sub(disk) / LANE_COUNT;
    print(name, "a lane: disk space", lane);
    for tx in lanes {
        tx.close().await?;
    }
    first.close().await?;
    let peak = project.peak_memory()?;
    print(name, "a test process, unoptimised: peak memory", peak);
    drop(harness);
    project.until_ended().await
}

async fn open(harness: &Harness) -> Result<Vec<Tx>, Error> {
    let mut lanes = Vec::new();
    for _ in 0..LANE_COUNT {
        lanes.push(harness.tx().await?);
    }
    Ok(lanes)
}

/// The resident and the proportional memory of a server's processes, in KiB.
fn memory(postmaster: u32) -> (u64, u64) {
    let processes: Vec<u32> = processes_of(postmaster).collect();
    let resident = processes.iter().filter_map(|pid| status(*pid, "VmRSS"));
    let proportional = processes.iter().filter_map(|pid| proportional_memory(*pid));
    (resident.sum(), proportional.sum())
}

/// The space that a directory's files occupy, in KiB.
fn disk_usage(dir: &Path) -> Result<u64, Error> {
    let mut bytes = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            // A running server removes files at any time.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                dirs.push(entry.path());
            }
            // `blocks` counts units of 512 bytes, whatever the file system has.
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes / 1024)
}

#[expect(clippy::print_stdout, reason = "the program prints its results")]
fn print(name: &str, what: &str, kibibytes: u64) {
    // Tenths of a MiB.
    let tenths = kibibytes * 10 / 1024;
    println!("{name:<22} {:>5}.{} MiB  {what}", tenths / 10, tenths % 10);
}
