//! Many migrations: for a process that finds the template, and for the first build.

use std::time::Instant;

use ebbtide::config::Cache;

use super::curve::Curve;
use crate::Error;
use crate::project::Project;
use crate::scratch::Scratch;

const COUNTS: [u32; 4] = [10, 100, 500, 2_000];
const ATTACH_ROUNDS: usize = 9;
const BUILD_ROUNDS: usize = 3;

/// The time of a process that is at least the third on a running server.
pub(super) async fn attach(scratch: &Scratch) -> Result<Curve, Error> {
    let mut projects = Vec::new();
    for count in COUNTS {
        let project = Project::new(scratch, &format!("growth-attach-{count}"), count)?;
        let server = project.start(Cache::Never).await?;
        // The first process provisions. The second one is the first to find everything.
        project.whole()?;
        project.whole()?;
        projects.push((count, project, server));
    }
    let mut curve = Curve::new("migrations");
    for _ in 0..ATTACH_ROUNDS {
        let mut times = Vec::new();
        for (count, project, _) in &projects {
            times.push((*count, project.whole()?));
        }
        curve.add_round(&times);
    }
    for (_, project, server) in projects {
        drop(server);
        project.until_ended().await?;
    }
    Ok(curve)
}

/// The time of the first build of a template on a new server, divided by the number of migrations.
/// The start of the server is not part of it.
pub(super) async fn build(scratch: &Scratch) -> Result<Curve, Error> {
    let mut projects = Vec::new();
    for count in COUNTS {
        let project = Project::new(scratch, &format!("growth-build-{count}"), count)?;
        projects.push((count, project));
    }
    let mut curve = Curve::new("migrations");
    for _ in 0..BUILD_ROUNDS {
        let mut times = Vec::new();
        for (count, project) in &projects {
            let server = project.start(Cache::Never).await?;
            let began = Instant::now();
            let template = server.provision().await?;
            times.push((*count, began.elapsed() / *count));
            if template.reused {
                return Err("an earlier build left its template".into());
            }
            drop(server);
            project.until_ended().await?;
            project.remove_state()?;
        }
        curve.add_round(&times);
    }
    Ok(curve)
}
