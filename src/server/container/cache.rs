//! The volume that keeps prepared data for the next container.
//!
//! The container itself writes it, when it ends with a template that was not there before. One volume belongs to one
//! state folder, one set of server settings and one image; templates in it are found by their fingerprints.

use sha2::{Digest as _, Sha256};
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::VolumeCreateRequest;

use super::super::registry::Registry;
use super::engine::Engine;
use super::image::Image;
use super::labels;
use crate::config::{Cache, Plan};
use crate::names::hex;

/// A volume of ours, and the password that its data knows.
#[derive(Debug)]
pub(super) struct CacheVolume {
    pub(super) name: String,
    pub(super) password: String,
}

impl CacheVolume {
    /// Finds or makes the volume, if one is wanted. An engine that cannot is no reason not to start.
    pub(super) async fn get(engine: &Engine, plan: &Plan, registry: &Registry, image: &Image) -> Option<Self> {
        if *plan.cache == Cache::Never {
            return None;
        }
        let name = name(registry, image);
        match get(engine, registry, &name).await {
            Ok(password) => password.map(|password| Self { name, password }),
            Err(error) => {
                tracing::warn!(%error, name, "going on without the volume for prepared data");
                None
            }
        }
    }
}

/// The password of the volume of that name; none when it is somebody else's.
async fn get(engine: &Engine, registry: &Registry, name: &str) -> Result<Option<String>, EngineError> {
    let volume = match engine.docker.inspect_volume(name).await {
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => {
            let mut labels = labels::of(labels::CACHE, registry);
            labels.insert(labels::PASSWORD.to_owned(), super::launch::new_password());
            let wanted = VolumeCreateRequest {
                name: Some(name.to_owned()),
                labels: Some(labels),
                ..VolumeCreateRequest::default()
            };
            // When somebody else made it a moment ago, this is theirs, with their password.
            engine.docker.create_volume(wanted).await?
        }
        other => other?,
    };
    let is_ours = volume.labels.get(labels::ROLE).is_some_and(|role| role == labels::CACHE);
    Ok(volume.labels.get(labels::PASSWORD).filter(|_| is_ours).cloned())
}

fn name(registry: &Registry, image: &Image) -> String {
    let what = format!("{} {} {}", labels::owner(registry), registry.key.as_str(), image.id);
    let mut digits = hex(&Sha256::digest(what.as_bytes()));
    digits.truncate(16);
    format!("ebbtide-cache-{digits}")
}
