//! A new process whose server is running: with many migrations and with few.

use ebbtide::config::Cache;

use crate::Error;
use crate::bars::{about, print};
use crate::project::Project;
use crate::ratios::alternate;
use crate::scratch::Scratch;

const BAR: f64 = 1.1;
const ROUNDS: usize = 25;

pub(super) async fn run(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let many = Project::new(scratch, "attach-1000", 1_000)?;
    let few = Project::new(scratch, "attach-10", 10)?;
    let servers = [
        many.start(Cache::Auto).await?,
        few.start(Cache::Auto).await?,
    ];
    for project in [&many, &few] {
        // The first run provisions. The second one is the first to find everything.
        project.whole()?;
        project.whole()?;
    }
    let ratios = alternate(ROUNDS, async || many.whole(), async || few.whole()).await?;
    print(name, about(name), &ratios, BAR);
    drop(servers);
    many.until_ended().await?;
    few.until_ended().await
}
