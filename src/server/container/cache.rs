//! The volume that keeps prepared data for the next container.
//!
//! The containers themselves write it, when they end with a template that was not there before. A user has one for each
//! image; templates in it are found by their fingerprints.

use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::VolumeCreateRequest;

use super::engine::Engine;
use super::image::Image;
use super::labels;
use crate::config::{Cache, Plan};
use crate::names::short_hash;
use crate::server::Sharing;

/// A volume of ours.
#[derive(Debug)]
pub(super) struct CacheVolume {
    pub(super) name: String,
}

impl CacheVolume {
    /// Finds or makes the volume, if one is wanted. An engine that cannot is no reason not to start.
    ///
    /// A dedicated server has none. Its roles and tablespaces would get into the data that other contents start from, and
    /// what others have prepared would get into it.
    pub(super) async fn get(
        engine: &Engine,
        plan: &Plan,
        sharing: &Sharing,
        image: &Image,
    ) -> Option<Self> {
        if *plan.cache == Cache::Never || sharing.is_dedicated() {
            return None;
        }
        let name = format!(
            "ebbtide-cache-{}",
            short_hash(&format!("{} {}", labels::user(), image.id), 16)
        );
        match make(engine, &name).await {
            Ok(()) => Some(Self { name }),
            Err(error) => {
                tracing::warn!(%error, name, "going on without the volume for prepared data");
                None
            }
        }
    }
}

/// Makes sure that there is such a volume, with our labels if it is new.
async fn make(engine: &Engine, name: &str) -> Result<(), EngineError> {
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
    engine.docker.create_volume(wanted).await.map(drop)
}
