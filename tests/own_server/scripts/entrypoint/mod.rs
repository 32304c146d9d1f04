//! `entrypoint.sh`: what a container decides alone.

mod cache;
mod connections;
mod start;

use super::shell::{Shell, functions};

const ENTRYPOINT: &str = "src/server/container/entrypoint.sh";

/// Runs lines with the functions of the entrypoint, with a linger of three seconds. The directories
/// `net` (for `/proc/net`), `holds`, `cache` and `pgdata` are in the test's directory.
#[track_caller]
fn run(shell: &Shell, lines: &str) -> String {
    let path = |name: &str| shell.scratch.path(name).display().to_string();
    for dir in ["net", "holds", "cache"] {
        std::fs::create_dir_all(shell.scratch.path(dir)).unwrap();
    }
    let functions = functions(ENTRYPOINT).replace("/proc/net/", &path("net/"));
    let variables = format!(
        "set -u
        linger=3 cache_mb=100 holds={} cache={} PGDATA={}
        server='' retiring=no restored='' accepted='' connections='' idle=1 key=1234
        POSTGRES_INITDB_ARGS='' POSTGRES_PASSWORD='' version='postgres (PostgreSQL) 15.1' as_owner=''",
        path("holds"),
        path("cache"),
        path("pgdata")
    );
    shell.run(&format!("{variables}\n{functions}\n{lines}"), &[])
}
