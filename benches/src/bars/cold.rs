//! Cold starts of native servers: nothing runs, but an earlier start has filled ebbtide's caches.

use crate::Error;
use crate::account::Account;
use crate::bars::{about, print};
use crate::binaries::initdb_to_first_row;
use crate::project::Project;
use crate::ratios::alternate;
use crate::scratch::Scratch;

const MIGRATIONS_BAR: f64 = 1.1;
const INITDB_BAR: f64 = 0.2;
const ROUNDS: usize = 7;

pub(super) async fn migrations(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let many = prepared(scratch, "cold-500", 500).await?;
    let few = prepared(scratch, "cold-10", 10).await?;
    let ratios = alternate(
        ROUNDS,
        async || cold(&many).await,
        async || cold(&few).await,
    )
    .await?;
    print(name, about(name), &ratios, MIGRATIONS_BAR);
    Ok(())
}

pub(super) async fn initdb(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let project = prepared(scratch, "cold-ebbtide", 10).await?;
    let account = Account::for_servers()?;
    let dir = scratch.dir("cold-initdb")?;
    account.own(&dir)?;
    let ratios = alternate(
        ROUNDS,
        async || cold(&project).await,
        async || initdb_to_first_row(&dir, account).await,
    )
    .await?;
    print(name, about(name), &ratios, INITDB_BAR);
    Ok(())
}

async fn prepared(scratch: &Scratch, name: &str, migrations: u32) -> Result<Project, Error> {
    let project = Project::new(scratch, name, migrations)?;
    for _ in 0..2 {
        cold(&project).await?;
    }
    Ok(project)
}

/// The time to the first row. Returns after the server has ended.
async fn cold(project: &Project) -> Result<std::time::Duration, Error> {
    let time = project.first_row()?;
    project.until_ended().await?;
    Ok(time)
}
