//! What the engine is asked to create.

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
/// Below it lies the data, for every major version: the image's own place moved in 18.
const HOME: &str = "/var/lib/ebbtide";
const CACHE: &str = "/ebbtide-cache";
/// Prepared data beyond this size, in MB, is not worth its copying.
const CACHE_LIMIT: u32 = 512;

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
    /// The engine's address on which the port is published.
    pub(super) publish_on: &'a str,
}

impl Request<'_> {
    /// The container as testcontainers describes it.
    fn described(&self) -> ContainerRequest<Postgres> {
        let (name, tag) = split(&self.image.reference);
        let mut request = Postgres::default()
            .with_db_name(ADMIN_DATABASE)
            .with_user(super::super::SUPERUSER)
            .with_password(self.password)
            .with_name(name)
            .with_tag(tag)
            .with_container_name(self.name)
            .with_labels(self.labels.clone())
            .with_env_var("PGDATA", format!("{HOME}/data"))
            .with_mapped_port(0, PORT.tcp())
            .with_cmd(self.command());
        // A declared volume would be made anew for each container; nothing is ever written to it.
        let declared = self
            .image
            .volumes
            .iter()
            .filter(|path| !HOME.starts_with(path.as_str()));
        for path in declared
            .map(String::as_str)
            .chain(self.in_memory.then_some(HOME))
        {
            request = request.with_mount(Mount::tmpfs_mount(path));
        }
        if let Some(cache) = self.cache {
            request = request.with_mount(Mount::volume_mount(&cache.name, CACHE));
        }
        request
    }

    /// The same in the engine's words, with what only the engine knows of.
    pub(super) fn body(&self) -> ContainerCreateBody {
        let described = self.described();
        let mut mounts: Vec<EngineMount> = described.mounts().map(Into::into).collect();
        if !self.in_memory {
            // Without a name, so that it goes with the container.
            mounts.push(EngineMount {
                target: Some(HOME.to_owned()),
                typ: Some(MountTypeEnum::VOLUME),
                ..EngineMount::default()
            });
        }
        let port = format!("{PORT}/tcp");
        let binding = PortBinding {
            host_ip: Some(self.publish_on.to_owned()),
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
            entrypoint: Some(vec!["sh".to_owned()]),
            cmd: Some(described.cmd().map(Into::into).collect()),
            // A health check that connects would keep the container for ever.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            exposed_ports: Some(vec![port.clone()]),
            host_config: Some(HostConfig {
                auto_remove: Some(true),
                mounts: Some(mounts),
                port_bindings: Some(HashMap::from([(port, Some(vec![binding]))])),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }

    fn command(&self) -> Vec<String> {
        let major = self
            .wanted_major
            .map_or("any".to_owned(), |major| major.to_string());
        let cache = if self.cache.is_some() { CACHE_LIMIT } else { 0 };
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

/// An image's name and tag. A digest is a tag as far as putting the two together again goes.
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
