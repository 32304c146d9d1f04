//! Cold starts of containers: ebbtide to the first row of a test, and `docker run` to its first row.

use crate::Error;
use crate::bars::{about, print};
use crate::docker::{Docker, RunOptions};
use crate::ratios::alternate;
use crate::scratch::Scratch;

const BAR: f64 = 1.0;
const ROUNDS: usize = 7;

#[expect(clippy::print_stdout, reason = "the program prints its results")]
pub(super) async fn run(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let docker = match Docker::find(&scratch.dir("container")?) {
        Ok(docker) => docker,
        Err(reason) => {
            println!("{name:<22} SKIPPED: {reason}");
            return Ok(());
        }
    };
    let ratios = alternate(
        ROUNDS,
        async || docker.ebbtide(ebbtide::config::Cache::Never).await,
        async || docker.run(&RunOptions::Documented).await,
    )
    .await?;
    print(name, about(name), &ratios, BAR);
    Ok(())
}
