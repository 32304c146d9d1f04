//! From nothing running to a first row.

use crate::Error;
use crate::account::Account;
use crate::binaries::initdb_to_first_row;
use crate::project::Project;
use crate::scratch::Scratch;
use crate::table::Table;

const ROUNDS: usize = 5;

pub(super) async fn run(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let account = Account::for_servers()?;
    let dir = scratch.dir("ladder")?;
    account.own(&dir)?;
    let project = Project::new(scratch, "ladder-ebbtide", 10)?;
    for _ in 0..2 {
        project.first_row()?;
        project.until_ended().await?;
    }
    #[cfg(feature = "others")]
    let alone = super::subprocess::Subprocess::new(&dir, account)?;
    #[cfg(feature = "container")]
    let docker = docker(name, scratch)?;
    let mut table = Table::new("initdb, pg_ctl -w start");
    for _ in 0..ROUNDS {
        let reference = initdb_to_first_row(&dir, account).await?;
        table.add(
            "ebbtide, native, to a Tx's row",
            project.first_row()?,
            reference,
        );
        project.until_ended().await?;
        #[cfg(feature = "others")]
        for side in ["pgtemp", "postgresql_embedded"] {
            table.add(side, alone.measure(side)?, reference);
        }
        #[cfg(feature = "container")]
        if let Some(docker) = &docker {
            with_containers(docker, &mut table, reference).await?;
        }
    }
    table.print(name);
    Ok(())
}

#[cfg(feature = "container")]
#[expect(clippy::print_stdout, reason = "the program prints its results")]
fn docker(name: &str, scratch: &Scratch) -> Result<Option<crate::docker::Docker>, Error> {
    match crate::docker::Docker::find(&scratch.dir("ladder-container")?) {
        Ok(docker) => Ok(Some(docker)),
        Err(reason) => {
            println!("{name:<22} SKIPPED the containers: {reason}");
            Ok(None)
        }
    }
}

#[cfg(feature = "container")]
async fn with_containers(
    docker: &crate::docker::Docker,
    table: &mut Table,
    reference: std::time::Duration,
) -> Result<(), Error> {
    use ebbtide::config::Cache;

    use crate::docker::RunOptions;

    let time = docker.run(&RunOptions::Documented).await?;
    table.add("docker run, as documented", time, reference);
    let time = docker.run(&RunOptions::Tuned).await?;
    table.add("docker run, in memory, without fsync", time, reference);
    let time = docker.testcontainers().await?;
    table.add("testcontainers, module postgres", time, reference);
    let time = docker.ebbtide(Cache::Never).await?;
    table.add(
        "ebbtide, container, no cache, to a Tx's row",
        time,
        reference,
    );
    let time = docker.ebbtide(Cache::Auto).await?;
    table.add("ebbtide, container, cache, to a Tx's row", time, reference);
    Ok(())
}
