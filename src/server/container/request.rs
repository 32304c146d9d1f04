//! The request that creates the container.
//!
//! testcontainers describes the container, and its client sends the request. The runner of
//! testcontainers is not used. It reads the engine's address from the environment alone, pulls
//! without progress, and stops the container when a handle is dropped.

use std::collections::{BTreeMap, HashMap};

use testcontainers::bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, Mount as EngineMount, MountTypeEnum, PortBinding,
};
use testcontainers::core::{IntoContainerPort as _, Mount};
use testcontainers::{ContainerRequest, ImageExt as _};
use testcontainers_modules::postgres::Postgres;

use super::cache::CacheVolume;
use super::image::Image;
use crate::conn::{ADMIN_DATABASE, PORT};

const ENTRYPOINT: &str = include_str!("entrypoint.sh");
/// The parent of the data directory. The official image uses another directory since version 18, so
/// a directory of our own serves all versions.
const DATA_PARENT: &str = "/var/lib/ebbtide";
const CACHE_DIR: &str = "/ebbtide-cache";
/// The largest data directory that is saved in the cache volume. Copying a larger one costs more
/// than preparing it again.
const MAX_CACHED_MEGABYTES: u32 = 512;

/// Everything that makes one container.
pub(super) struct Request<'a> {
    pub(super) name: &'a str,
    pub(super) image: &'a Image,
    pub(super) wanted_major: Option<u32>,
    pub(super) labels: HashMap<String, String>,
    pub(super) password: &'a str,
    pub(super) settings: &'a BTreeMap<String, String>,
    pub(super) linger: u64,
    pub(super) cache: Option<&'a CacheVolume>,
    pub(super) in_memory: bool,
    /// The address of the engine's host at which the port is published.
    pub(super) publish_on: &'a str,
}

impl Request<'_> {
    /// The part of the request that testcontainers can describe.
    fn described(&self) -> ContainerRequest<Postgres> {
        let (name, tag) = split(&self.image.reference);
        let mut request = Postgres::default()
            .with_db_name(ADMIN_DATABASE)
            .with_user(super::super::identification::SUPERUSER)
            .with_password(self.password)
            .with_name(name)
            .with_tag(tag)
            .with_container_name(self.name)
            .with_labels(self.labels.clone())
            .with_env_var("PGDATA", format!("{DATA_PARENT}/data"))
            .with_mapped_port(0, PORT.tcp())
            .with_cmd(self.command());
        // The engine would create a new volume for each path that the image declares. The server
        // writes nothing there, so a tmpfs replaces it.
        let declared = self
            .image
            .volumes
            .iter()
            .filter(|path| !DATA_PARENT.starts_with(path.as_str()));
        for path in declared
            .map(String::as_str)
            .chain(self.in_memory.then_some(DATA_PARENT))
        {
            request = request.with_mount(Mount::tmpfs_mount(path));
        }
        if let Some(cache) = self.cache {
            request = request.with_mount(Mount::volume_mount(&cache.name, CACHE_DIR));
        }
        request
    }

    /// The whole request in the engine's types.
    pub(super) fn body(&self) -> ContainerCreateBody {
        let described = self.described();
        let mut mounts: Vec<EngineMount> = described.mounts().map(Into::into).collect();
        if !self.in_memory {
            // An anonymous volume is removed together with the container.
            mounts.push(EngineMount {
                target: Some(DATA_PARENT.to_owned()),
                typ: Some(MountTypeEnum::VOLUME),
                ..EngineMount::default()
            });
        }
        let port = format!("{PORT}/tcp");
        let binding = PortBinding {
            host_ip: Some(self.publish_on.to_owned()),
            // The engine chooses a free port.
            host_port: Some(String::new()),
        };
        ContainerCreateBody {
            image: Some(described.descriptor()),
            labels: Some(described.labels().clone().into_iter().collect()),
            env: Some(
                described
                    .env_vars()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            // The script is the container's first process, so the engine's signals reach it, and
            // the container ends with it. It runs the image's own entrypoint as a child.
            entrypoint: Some(vec!["sh".to_owned()]),
            cmd: Some(described.cmd().map(Into::into).collect()),
            // The image's health check may connect, and each connection extends the linger.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            exposed_ports: Some(vec![port.clone()]),
            host_config: Some(HostConfig {
                // The engine removes the container when it ends, even if no client is left.
                auto_remove: Some(true),
                mounts: Some(mounts),
                port_bindings: Some(HashMap::from([(port, Some(vec![binding]))])),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// The arguments of `sh`: the entrypoint script and its own arguments.
    fn command(&self) -> Vec<String> {
        let major = self
            .wanted_major
            .map_or("any".to_owned(), |major| major.to_string());
        // With 0, the entrypoint neither restores nor saves data.
        let cache = if self.cache.is_some() {
            MAX_CACHED_MEGABYTES
        } else {
            0
        };
        let mut command = vec!["-c".to_owned(), ENTRYPOINT.to_owned(), "ebbtide".to_owned()];
        command.extend([
            self.linger.to_string(),
            major,
            cache.to_string(),
            "postgres".to_owned(),
        ]);
        for (name, value) in self.settings {
            command.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        command
    }
}

/// Splits a reference into name and tag. testcontainers joins the two with a colon again, so a
/// digest may be split at its colon.
fn split(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_split_at_its_tag_or_digest() {
        assert_eq!(split("postgres:17-alpine"), ("postgres", "17-alpine"));
        assert_eq!(split("host:5000/postgis"), ("host:5000/postgis", "latest"));
        assert_eq!(
            split("host:5000/postgis:16-3.4"),
            ("host:5000/postgis", "16-3.4")
        );
        assert_eq!(split("postgres@sha256:00ff"), ("postgres@sha256", "00ff"));
    }
}
