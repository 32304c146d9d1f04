//! Everything from the image to the first row.

use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, StartContainerOptions,
};
use tokio::task::JoinHandle;

use super::super::registry::{Health, Instance, Lease, LeaseName, Pointer, PublishedPort, Registry};
use super::super::{Identification, Origin, SUPERUSER, Server, identify, linger_seconds, native, settings};
use super::cache::CacheVolume;
use super::engine::Engine;
use super::image::Image;
use super::request::Request;
use super::{labels, sweep};
use crate::config::{Plan, Storage};
use crate::conn::{ADMIN_DATABASE, ConnParams, PORT};
use crate::error::{Error, ErrorKind, Result};
use crate::process::Detached;
use crate::wait::Patience;

const KEEPER: &str = concat!(include_str!("../instance.sh"), include_str!("keeper.sh"));
const LOOPBACK: &str = "127.0.0.1";
/// One attempt to connect: a forwarded port may accept and say nothing.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The engine's memory from which on data lies in it.
const ROOM_IN_MEMORY: u64 = 4 << 30;
const LOG_LINES: usize = 15;

/// Everything that is decided before anything is created.
pub(super) struct Launch<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    engine: &'a Engine,
    image: &'a Image,
    instance: Instance,
    /// The container's.
    name: String,
    cache: Option<CacheVolume>,
    password: String,
}

impl<'a> Launch<'a> {
    pub(super) async fn prepare(plan: &'a Plan, registry: &'a Registry, engine: &'a Engine, image: &'a Image) -> Self {
        let instance = registry.instance(&registry.key.new_instance());
        let name = format!("ebbtide-{}", instance.name());
        let cache = CacheVolume::get(engine, plan, image).await;
        // Nobody can guess it.
        let password = uuid::Uuid::new_v4().simple().to_string();
        Self { plan, registry, engine, image, instance, name, cache, password }
    }

    pub(super) async fn run(self, reason: String, began: Instant) -> Result<Server> {
        let lease_name = LeaseName::process();
        let mut keeper = self.spawn_keeper(&lease_name)?;
        let lease = Lease::written_by_supervisor(&self.instance, &lease_name);
        let said = keeper.start_up_output().await;
        if self.instance.health() != Health::Serving {
            return Err(Error::new(ErrorKind::ServerStart, "the instance folder could not be made")
                .with_evidence("what was said", said)
                .with_help("look for a full disk, or set EBBTIDE_STATE_DIR to a folder with room"));
        }
        match self.create_and_wait().await {
            Ok((port, found)) => {
                let pointer = Pointer {
                    instance: self.instance.name(),
                    version_num: found.version_num,
                    version: found.version,
                    port: Some(port),
                    reason,
                };
                self.registry.write_pointer(&pointer)?;
                Ok(Server::with_instance(self.plan, pointer, self.instance, lease, Origin::Started, began))
            }
            Err(error) => {
                // The start's own error is the one to report; what stays ends by itself or is swept.
                let _ = sweep::remove(self.engine, &self.name).await;
                let _ = std::fs::remove_file(self.creating());
                let _ = std::fs::remove_file(self.instance.folder.join("serving"));
                Err(error)
            }
        }
    }

    /// Its presence tells the keeper that the container may have been created and not started.
    fn creating(&self) -> std::path::PathBuf {
        self.instance.folder.join("creating")
    }

    fn spawn_keeper(&self, lease: &LeaseName) -> Result<Detached> {
        let mut command = Command::new("sh");
        // The script is an argument, so that nothing exists on disk before its keeper does.
        command.arg("-c").arg(KEEPER).arg("ebbtide-supervisor");
        command.arg(&self.instance.folder).arg(self.registry.pointer_path());
        command.arg(linger_seconds(self.plan).to_string()).arg(lease.as_str());
        command.arg(&self.name).arg(&self.engine.endpoint.url);
        command.env_clear().env("PATH", self.plan.path.as_os_str()).env("LC_ALL", "C");
        Detached::spawn(command, None).map_err(|error| {
            Error::new(ErrorKind::ServerStart, "the container's keeper could not be started")
                .with_source(error)
                .with_help("ebbtide needs a POSIX `sh` on PATH")
        })
    }

    async fn create_and_wait(&self) -> Result<(PublishedPort, Identification)> {
        std::fs::write(self.creating(), "").map_err(|error| {
            Error::new(ErrorKind::StateFolder, "the instance folder cannot be written").with_source(error)
        })?;
        let publish_on = self.publish_on();
        let started = match self.create_and_start(&publish_on).await {
            // The engine's host may be known here by an address that it does not have itself.
            Err(error) if publish_on != LOOPBACK && error.to_string().contains("cannot assign requested address") => {
                sweep::remove(self.engine, &self.name).await.map_err(|error| self.refused("remove", &error))?;
                self.create_and_start("0.0.0.0").await
            }
            other => other,
        };
        started.map_err(|error| self.refused("start", &error))?;
        // It watches itself from here on. A mark that stays costs the keeper a few vain attempts.
        let _ = std::fs::remove_file(self.creating());
        let log = ContainerLog::follow(self.engine, &self.name);
        self.first_row(&log).await
    }

    async fn create_and_start(&self, publish_on: &str) -> Result<(), EngineError> {
        let mut labels = labels::of(labels::SERVER, labels::state_folder(self.registry));
        labels.insert(labels::INSTANCE.to_owned(), self.instance.name());
        let mut settings = settings::tuned(self.image.major.unwrap_or(u32::MAX), &self.plan.settings);
        settings.insert("listen_addresses".to_owned(), "*".to_owned());
        // Read back before anything is trusted.
        settings.insert("ebbtide.identity".to_owned(), self.instance.name());
        let request = Request {
            name: &self.name,
            image: self.image,
            wanted_major: *self.plan.postgres.get(),
            labels,
            password: &self.password,
            settings: &settings,
            linger: linger_seconds(self.plan),
            cache: self.cache.as_ref(),
            in_memory: self.in_memory(),
            publish_on,
        };
        let options = CreateContainerOptionsBuilder::new().name(&self.name).build();
        let docker = &self.engine.docker;
        docker.create_container(Some(options), request.body()).await?;
        docker.start_container(&self.name, None::<StartContainerOptions>).await
    }

    fn in_memory(&self) -> bool {
        match self.plan.storage.get() {
            Storage::Memory => true,
            Storage::Disk => false,
            Storage::Auto => self.engine.memory.is_none_or(|bytes| bytes >= ROOM_IN_MEMORY),
        }
    }

    /// The address of the engine's host on which only those may reach the port who can reach the engine.
    fn publish_on(&self) -> String {
        match self.engine.endpoint.remote_host() {
            None | Some("localhost") => LOOPBACK.to_owned(),
            Some(host) if host.parse::<IpAddr>().is_ok() => host.to_owned(),
            Some(_) => "0.0.0.0".to_owned(),
        }
    }

    /// Waits for a real query's answer, by the published port or, beside the engine, at the container's own address.
    async fn first_row(&self, log: &ContainerLog) -> Result<(PublishedPort, Identification)> {
        let mut patience = Patience::new("server start: no answer", *self.plan.start_timeout.get());
        let mut addresses = Vec::new();
        loop {
            // Looked at before the attempt, so that a container which ends after it is asked once more.
            let ended = log.has_ended();
            if addresses.is_empty() && !ended {
                addresses = self.addresses().await?;
            }
            let mut seen = "the container has no address yet".to_owned();
            for (host, port) in &addresses {
                match self.ask(host, *port).await {
                    Ok(found) => {
                        let (host, password) = (host.clone(), self.password.clone());
                        let container = format!("{} on {}", self.name, self.engine.endpoint.url);
                        return Ok((PublishedPort { host, port: *port, password, container }, found));
                    }
                    Err(reason) => seen = format!("{host}:{port}: {reason}"),
                }
            }
            if ended {
                return Err(self.failure(&log.text()));
            }
            if let Err(error) = patience.pause(seen).await {
                return Err(error.with_evidence("the container's log ends", log.tail(LOG_LINES)));
            }
        }
    }

    async fn ask(&self, host: &str, port: u16) -> Result<Identification, String> {
        let conn = ConnParams::tcp(host, port, SUPERUSER, &self.password);
        let asking = async {
            let mut connection = conn.connect(ADMIN_DATABASE).await.map_err(|error| crate::server::in_full(&error))?;
            identify(&mut connection).await.map_err(|error| error.to_string())
        };
        let found = tokio::time::timeout(ATTEMPT, asking).await.map_err(|_| "no answer".to_owned())??;
        match found.identity.as_deref() {
            Some(identity) if identity == self.instance.name() => Ok(found),
            other => Err(format!("another server answers: {other:?}")),
        }
    }

    async fn addresses(&self) -> Result<Vec<(String, u16)>> {
        let inspected = match self.engine.docker.inspect_container(&self.name, None::<InspectContainerOptions>).await {
            Ok(inspected) => inspected,
            // Ended and removed already; its log says why.
            Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => return Ok(Vec::new()),
            Err(error) => return Err(self.refused("inspect", &error)),
        };
        let network = inspected.network_settings.unwrap_or_default();
        let mut addresses = Vec::new();
        for (_, bindings) in network.ports.unwrap_or_default() {
            for binding in bindings.unwrap_or_default() {
                let Some(port) = binding.host_port.and_then(|port| port.parse().ok()) else { continue };
                let host = self.engine.endpoint.remote_host().unwrap_or(LOOPBACK).to_owned();
                addresses.push((host, port));
            }
        }
        // Where a port is not forwarded to us: in a container beside it, or on a host without forwarding.
        if self.engine.endpoint.remote_host().is_none() {
            let own = network.networks.unwrap_or_default().into_values().filter_map(|network| network.ip_address);
            addresses.extend(own.filter(|address| !address.is_empty()).map(|address| (address, PORT)));
        }
        addresses.dedup();
        Ok(addresses)
    }

    fn refused(&self, what: &str, error: &EngineError) -> Error {
        let full = native::is_full(&error.to_string());
        let kind = if full { ErrorKind::OutOfSpace } else { ErrorKind::ServerStart };
        let message = format!("the engine at {} did not {what} the container", self.engine.endpoint.url);
        Error::new(kind, message)
            .with_source(error.to_string())
            .with_help("try `docker run --rm -e POSTGRES_PASSWORD=x IMAGE` by hand, or set EBBTIDE_BACKEND=native")
    }

    /// The container ended before it answered.
    fn failure(&self, log: &str) -> Error {
        let image = &self.image.reference;
        // The entrypoint's own complaints.
        if let Some(complaint) = log.lines().find_map(|line| line.trim().strip_prefix("ebbtide: ")) {
            return Error::new(ErrorKind::ImageUnavailable, format!("image {image} cannot be used: {complaint}"))
                .with_help(
                    "name an image that keeps the contract of the official one: postgres, postgis, pgvector, timescaledb",
                );
        }
        let kind = if native::is_full(log) { ErrorKind::OutOfSpace } else { ErrorKind::ServerStart };
        let message = format!("the container from image {image} ended before PostgreSQL answered");
        Error::new(kind, message).with_evidence("the container's log ends", tail(log, LOG_LINES)).with_help(
            "the log says why; settings that the server refuses come from `settings` in ebbtide.toml or the builder",
        )
    }
}

/// What the container prints while it starts: it goes with the container.
struct ContainerLog {
    text: Arc<Mutex<String>>,
    follower: JoinHandle<()>,
}

impl ContainerLog {
    fn follow(engine: &Engine, container: &str) -> Self {
        let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
        let mut lines = engine.docker.logs(container, Some(options));
        let text = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&text);
        let follower = tokio::spawn(async move {
            while let Some(Ok(line)) = lines.next().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line.to_string());
            }
        });
        Self { text, follower }
    }

    /// The log ends when the container does.
    fn has_ended(&self) -> bool {
        self.follower.is_finished()
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tail(&self, lines: usize) -> String {
        tail(&self.text(), lines)
    }
}

impl Drop for ContainerLog {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
