//! Many processes at once, each with one `Tx`.

use ebbtide::config::Cache;

use super::curve::Curve;
use crate::Error;
use crate::project::Project;
use crate::scratch::Scratch;

const COUNTS: [u32; 4] = [1, 4, 16, 64];
const ROUNDS: usize = 5;

pub(super) async fn run(scratch: &Scratch) -> Result<Curve, Error> {
    let project = Project::new(scratch, "growth-processes", 10)?;
    let server = project.start(Cache::Never).await?;
    let most = COUNTS[COUNTS.len() - 1];
    // The first processes build the template and copy the lanes.
    project.whole()?;
    project.at_once(most).await?;
    let mut curve = Curve::new("processes");
    for _ in 0..ROUNDS {
        let mut times = Vec::new();
        for count in COUNTS {
            times.push((count, project.at_once(count).await? / count));
        }
        curve.add_round(&times);
    }
    drop(server);
    project.until_ended().await?;
    Ok(curve)
}
