//! Removes abandoned containers, and cache volumes beyond a user's limit.
//!
//! An abandoned container was created but never started, or was not removed when it ended. A
//! running container is never swept, because its entrypoint ends it.

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

/// How many cache volumes a user may have. There is one for each image.
const MAX_CACHE_VOLUMES: usize = 4;
/// The age from which a container that does not run counts as abandoned, even if another machine
/// created it. A client starts a container within seconds after creating it.
const UNSTARTED_CONTAINER_AGE: Duration = Duration::from_hours(1);

/// Removes abandoned containers and surplus volumes.
///
/// Errors are only logged: the sweep must not keep a server from starting, and the next start
/// sweeps again.
pub(super) async fn sweep(engine: &Engine, registry: &Registry) {
    if let Err(error) = sweep_containers(engine, registry).await {
        tracing::warn!(%error, "could not remove abandoned containers");
    }
    if let Err(error) = sweep_volumes(engine).await {
        tracing::warn!(%error, "could not remove surplus cache volumes");
    }
}

async fn sweep_containers(engine: &Engine, registry: &Registry) -> Result<(), EngineError> {
    let mut filter = labels::filter(labels::SERVER);
    // Without `running`, which the entrypoint ends, and `removing`, which the engine removes.
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
            .filter(|_| is_abandoned(&container, registry))
        else {
            continue;
        };
        // A process with another key may sweep at the same time: a container that it has removed is
        // no error for `remove`.
        tracing::info!(container = id, "removing an abandoned container");
        remove(engine, id).await?;
    }
    Ok(())
}

/// Removes a container with its anonymous volumes, running or not. A missing one is no error.
pub(super) async fn remove(engine: &Engine, container: &str) -> Result<(), EngineError> {
    // By force, because a start that has failed may have left the container running.
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    match engine
        .docker
        .remove_container(container, Some(options))
        .await
    {
        // 404: it is gone. 409: its removal is already in progress.
        Err(EngineError::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        other => other,
    }
}

/// Whether a container that does not run has lost its client.
///
/// For a container of our own state directory, the client's mark decides. For another one, only its
/// age counts.
fn is_abandoned(container: &ContainerSummary, registry: &Registry) -> bool {
    let label = |name: &str| {
        container
            .labels
            .as_ref()
            .and_then(|labels| labels.get(name))
    };
    // The owner label contains the boot identifier. If the label is equal, the client runs or ran
    // on this machine and in this boot. So no process of another boot can be taken for the client.
    if label(labels::OWNER) == Some(&labels::state_dir(registry)) {
        let client = label(labels::CLIENT).and_then(|mark| ProcessMark::parse(mark));
        return !client.is_some_and(|client| client.is_alive());
    }
    // The mark of another machine's process proves nothing here. The clocks of the two machines may
    // differ: a container from the future counts as new.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let created = container
        .created
        .and_then(|seconds| seconds.try_into().ok())
        .map(Duration::from_secs);
    created.is_some_and(|created| now.saturating_sub(created) > UNSTARTED_CONTAINER_AGE)
}

/// Removes this user's oldest cache volumes beyond the limit.
async fn sweep_volumes(engine: &Engine) -> Result<(), EngineError> {
    let options = ListVolumesOptionsBuilder::new()
        .filters(&labels::filter(labels::CACHE))
        .build();
    let mut volumes = engine
        .docker
        .list_volumes(Some(options))
        .await?
        .volumes
        .unwrap_or_default();
    // An engine may serve several users and machines, and each has its own limit.
    let owner = labels::user();
    volumes.retain(|volume| volume.labels.get(labels::OWNER) == Some(&owner));
    volumes.sort_by_key(|volume| std::cmp::Reverse(volume.created_at));
    for volume in volumes.iter().skip(MAX_CACHE_VOLUMES) {
        match engine
            .docker
            .remove_volume(&volume.name, None::<RemoveVolumeOptions>)
            .await
        {
            // 404: it is gone. 409: a container uses it.
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
