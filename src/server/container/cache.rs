//! The volume that keeps prepared data for the next container.
//!
//! If a container ends with other templates than it began with, it writes its data directory to the
//! volume (`entrypoint.sh`). A user has one volume for each image. The volume holds the templates
//! of all plans, which ebbtide finds by the fingerprints.

use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::VolumeCreateRequest;

use super::engine::Engine;
use super::image::Image;
use super::labels;
use crate::config::{Cache, Plan};
use crate::names::short_hash;
use crate::server::sharing::Sharing;

/// A volume that ebbtide has created.
#[derive(Debug)]
pub(super) struct CacheVolume {
    pub(super) name: String,
}

impl CacheVolume {
    /// Finds or creates the volume, unless the plan excludes it or the server is dedicated.
    ///
    /// A failure is only logged, because a server can start without the volume.
    pub(super) async fn get(
        engine: &Engine,
        plan: &Plan,
        sharing: &Sharing,
        image: &Image,
    ) -> Option<Self> {
        // The roles and tablespaces of a dedicated server would get into the data that other
        // servers start from, and theirs would get into its data.
        if *plan.cache == Cache::Never || sharing.is_dedicated() {
            return None;
        }
        // By the image's id and not its name: a tag may name another image later.
        let name = format!(
            "ebbtide-cache-{}",
            short_hash(&format!("{} {}", labels::user(), image.id), 16)
        );
        match ensure_volume(engine, &name).await {
            Ok(()) => Some(Self { name }),
            Err(error) => {
                tracing::warn!(%error, name, "starting without the volume for prepared data");
                None
            }
        }
    }
}

/// Creates the volume with our labels, if it does not exist.
async fn ensure_volume(engine: &Engine, name: &str) -> Result<(), EngineError> {
    // Any answer other than 404 counts as an existing volume. If the engine itself has failed, the
    // request for the container reports it.
    if !matches!(
        engine.docker.inspect_volume(name).await,
        Err(EngineError::DockerResponseServerError {
            status_code: 404,
            ..
        })
    ) {
        return Ok(());
    }
    let labels = labels::of(labels::CACHE, labels::user());
    let wanted = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    // Another process may create the volume after this process has looked for it. The engine then
    // returns the existing one.
    engine.docker.create_volume(wanted).await.map(drop)
}
