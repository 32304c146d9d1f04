//! The requests that create, start and inspect the container.

use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::ContainerInspectResponse;
use testcontainers::bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions,
};

use super::super::request::Request;
use super::super::{labels, sweep};
use super::Launch;
use super::addresses::LOOPBACK;
use crate::config::Storage;
use crate::error::Result;
use crate::guard_names::IDENTITY_SETTING;
use crate::server::{settings, supervisor};

/// The engine's memory, in bytes, from which on [`Storage::Auto`] keeps the data in memory.
const MIN_ENGINE_MEMORY: u64 = 4 << 30;

impl Launch<'_> {
    /// Creates and starts the container, with its port published at an address of the engine's
    /// host.
    pub(super) async fn create_and_start(&self) -> Result<()> {
        let publish_on = self.publish_on();
        let started = match self.create_and_start_at(&publish_on).await {
            // The address in DOCKER_HOST may lead to the engine through NAT, so that the engine's
            // host does not have this address itself.
            Err(error)
                if publish_on != LOOPBACK
                    && error
                        .to_string()
                        .contains("cannot assign requested address") =>
            {
                // The engine binds the port only when it starts the container. So a container with
                // this name exists, and the second request would be refused because of it.
                sweep::remove(self.engine, &self.name)
                    .await
                    .map_err(|error| self.engine_error("remove", &error))?;
                self.create_and_start_at("0.0.0.0").await
            }
            other => other,
        };
        started.map_err(|error| self.start_error(&error))
    }

    async fn create_and_start_at(&self, publish_on: &str) -> Result<(), EngineError> {
        let mut labels = labels::of(labels::SERVER, labels::state_dir(self.registry));
        labels.insert(labels::INSTANCE.to_owned(), self.instance.name());
        // An image that does not declare its version counts as a new one and gets every setting.
        let mut settings =
            settings::tuned(self.image.major.unwrap_or(u32::MAX), &self.plan.settings);
        // PostgreSQL listens only on `localhost` by default, and clients come from outside the
        // container (https://www.postgresql.org/docs/current/runtime-config-connection.html).
        settings.insert("listen_addresses".to_owned(), "*".to_owned());
        // Every client compares this setting with the instance. Another server may get the port.
        settings.insert(IDENTITY_SETTING.to_owned(), self.instance.name());
        let request = Request {
            name: &self.name,
            image: self.image,
            wanted_major: *self.plan.postgres.get(),
            labels,
            password: &self.password,
            settings: &settings,
            linger: supervisor::linger_seconds(self.plan),
            cache: self.cache.as_ref(),
            in_memory: self.in_memory(),
            publish_on,
        };
        let options = CreateContainerOptionsBuilder::new()
            .name(&self.name)
            .build();
        let docker = &self.engine.docker;
        docker
            .create_container(Some(options), request.body())
            .await?;
        // A client killed here leaves a container that never runs, so no entrypoint ends it. The
        // supervisor removes it, or else the next start does (`sweep`).
        docker
            .start_container(&self.name, None::<StartContainerOptions>)
            .await
    }

    fn in_memory(&self) -> bool {
        match self.plan.storage.get() {
            Storage::Memory => true,
            Storage::Disk => false,
            Storage::Auto => self
                .engine
                .memory
                .is_none_or(|bytes| bytes >= MIN_ENGINE_MEMORY),
        }
    }

    /// The engine's description of the container, or `None` once it is removed.
    pub(super) async fn inspect(&self) -> Result<Option<ContainerInspectResponse>> {
        match self
            .engine
            .docker
            .inspect_container(&self.name, None::<InspectContainerOptions>)
            .await
        {
            Ok(inspected) => Ok(Some(inspected)),
            Err(EngineError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(self.engine_error("inspect", &error)),
        }
    }
}
