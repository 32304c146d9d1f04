//! Removes containers that never ran or did not go when they ended, and volumes beyond their number.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::ContainerSummary;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions,
};

use super::super::registry::Registry;
use super::engine::Engine;
use super::labels;
use crate::process::ProcessMark;

/// Volumes with prepared data that a user may have: one for each image.
const VOLUMES_KEPT: usize = 4;
/// A container that was created so long ago and never ran is nobody's, whichever machine made it: starting follows
/// creating within seconds.
const UNSTARTED_CONTAINER_AGE: Duration = Duration::from_hours(1);

/// Removes what nobody owns any more. What the engine refuses stays for the next time.
pub(super) async fn sweep(engine: &Engine, registry: &Registry) {
    if let Err(error) = containers(engine, registry).await {
        tracing::warn!(%error, "containers that nobody uses could not be swept");
    }
    if let Err(error) = volumes(engine).await {
        tracing::warn!(%error, "volumes that nobody uses could not be swept");
    }
}

async fn containers(engine: &Engine, registry: &Registry) -> Result<(), EngineError> {
    let mut filter = labels::filter(labels::SERVER);
    filter.insert(
        "status".to_owned(),
        ["created", "exited", "dead"].map(str::to_owned).to_vec(),
    );
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filter)
        .build();
    for container in engine.docker.list_containers(Some(options)).await? {
        let Some(id) = container
            .id
            .as_deref()
            .filter(|_| is_forgotten(&container, registry))
        else {
            continue;
        };
        tracing::info!(container = id, "removing a container that nobody owns");
        remove(engine, id).await?;
    }
    Ok(())
}

/// Removes a container with its anonymous volumes, if it is there.
pub(super) async fn remove(engine: &Engine, container: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    match engine
        .docker
        .remove_container(container, Some(options))
        .await
    {
        // Gone, or about to go.
        Err(EngineError::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        other => other,
    }
}

fn is_forgotten(container: &ContainerSummary, registry: &Registry) -> bool {
    let label = |name: &str| {
        container
            .labels
            .as_ref()
            .and_then(|labels| labels.get(name))
    };
    if label(labels::OWNER) == Some(&labels::state_dir(registry)) {
        let client = label(labels::CLIENT).and_then(|mark| ProcessMark::parse(mark));
        return !client.is_some_and(|client| client.is_alive());
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let created = container
        .created
        .and_then(|seconds| seconds.try_into().ok())
        .map(Duration::from_secs);
    created.is_some_and(|created| now.saturating_sub(created) > UNSTARTED_CONTAINER_AGE)
}

async fn volumes(engine: &Engine) -> Result<(), EngineError> {
    let options = ListVolumesOptionsBuilder::new()
        .filters(&labels::filter(labels::CACHE))
        .build();
    let mut ours = engine
        .docker
        .list_volumes(Some(options))
        .await?
        .volumes
        .unwrap_or_default();
    let owner = labels::user();
    ours.retain(|volume| volume.labels.get(labels::OWNER) == Some(&owner));
    ours.sort_by_key(|volume| std::cmp::Reverse(volume.created_at));
    for volume in ours.iter().skip(VOLUMES_KEPT) {
        match engine
            .docker
            .remove_volume(&volume.name, None::<RemoveVolumeOptions>)
            .await
        {
            // In use, or gone.
            Ok(())
            | Err(EngineError::DockerResponseServerError {
                status_code: 404 | 409,
                ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
