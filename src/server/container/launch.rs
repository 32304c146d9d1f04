//! Everything from the image to the first row.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::ContainerInspectResponse;
use testcontainers::bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    StartContainerOptions,
};
use tokio::task::JoinHandle;

use super::super::registry::{
    Health, Instance, LeaseName, Pointer, PublishedPort, Registry, ServerLease,
};
use super::super::sharing::Sharing;
use super::super::{
    Identification, Origin, SUPERUSER, Server, identify, linger_seconds, native, settings,
    supervisor,
};
use super::cache::CacheVolume;
use super::engine::{self, Engine};
use super::image::Image;
use super::request::Request;
use super::{labels, sweep};
use crate::config::{Plan, Storage};
use crate::conn::{ADMIN_DATABASE, ConnParams, PORT};
use crate::error::{Error, ErrorKind, Result, told};
use crate::process::{Detached, last_lines};
use crate::wait::Patience;

pub(in crate::server) const KEEPER: &str =
    concat!(include_str!("../instance.sh"), include_str!("keeper.sh"));
const LOOPBACK: &str = "127.0.0.1";
/// One attempt to connect: a forwarded port may accept and say nothing.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The engine's memory from which on data lies in it.
const ROOM_IN_MEMORY: u64 = 4 << 30;
const LOG_LINES: usize = 15;
/// How the entrypoint's complaint of another major version begins.
const OTHER_MAJOR: &str = "the image has PostgreSQL ";
/// What the server says in turn. Its first start, by the image's entrypoint, listens on no address.
const LISTENING: &str = "listening on IPv";
const READY: &str = "ready to accept connections";
const UNREACHABLE: &str = "PostgreSQL listens in its container, and its port cannot be reached from here: look for a firewall or \
     a network between the two; or set EBBTIDE_BACKEND=native";
const SLOW: &str = "the log says how far it is: give it more time with EBBTIDE_START_TIMEOUT, or set EBBTIDE_BACKEND=native";

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
    pub(super) async fn prepare(
        plan: &'a Plan,
        sharing: &Sharing,
        registry: &'a Registry,
        engine: &'a Engine,
        image: &'a Image,
    ) -> Self {
        let instance = registry.instance(&registry.key.new_instance());
        let name = format!("ebbtide-{}", instance.name());
        let cache = CacheVolume::get(engine, plan, sharing, image).await;
        // Nobody can guess it.
        let password = uuid::Uuid::new_v4().simple().to_string();
        Self {
            plan,
            registry,
            engine,
            image,
            instance,
            name,
            cache,
            password,
        }
    }

    pub(super) async fn run(self, reason: String, began: Instant) -> Result<Server> {
        let lease_name = LeaseName::process();
        let mut keeper = self.spawn_keeper(&lease_name)?;
        let lease = ServerLease::written_by_supervisor(&self.instance, &lease_name);
        let said = keeper.start_up_output().await;
        if self.instance.health() != Health::Serving {
            return Err(Error::new(
                ErrorKind::ServerStart,
                "the instance directory could not be made",
            )
            .with_evidence("what was said", said)
            .with_help("look for a full disk, or set EBBTIDE_STATE_DIR to a directory with room"));
        }
        match self.create_and_publish(reason).await {
            Ok(pointer) => Ok(Server::with_instance(
                self.plan,
                pointer,
                self.instance,
                lease,
                Origin::Started,
                began,
            )),
            Err(error) => {
                // The start's own error is the one to report. What cannot be removed ends by itself, or is left to the
                // keeper, which the mark tells of it.
                if sweep::remove(self.engine, &self.name).await.is_ok() {
                    let _ = std::fs::remove_file(self.creating());
                }
                self.instance.give_up();
                Err(error)
            }
        }
    }

    /// Its presence tells the keeper that nobody but us can know of the container yet.
    fn creating(&self) -> std::path::PathBuf {
        self.instance.dir.join("creating")
    }

    fn spawn_keeper(&self, lease: &LeaseName) -> Result<Detached> {
        let mut command =
            supervisor::command(KEEPER, &self.instance, self.registry, self.plan, lease);
        command.arg(&self.name).arg(&self.engine.endpoint.url);
        supervisor::spawn(command, None)
    }

    async fn create_and_publish(&self, reason: String) -> Result<Pointer> {
        std::fs::write(self.creating(), "").map_err(|error| {
            Error::new(
                ErrorKind::StateDir,
                "the instance directory cannot be written",
            )
            .with_source(error)
        })?;
        let publish_on = self.publish_on();
        let started = match self.create_and_start(&publish_on).await {
            // The engine's host may be known here by an address that it does not have itself.
            Err(error)
                if publish_on != LOOPBACK
                    && error
                        .to_string()
                        .contains("cannot assign requested address") =>
            {
                sweep::remove(self.engine, &self.name)
                    .await
                    .map_err(|error| self.refused("remove", &error))?;
                self.create_and_start("0.0.0.0").await
            }
            other => other,
        };
        started.map_err(|error| self.refused_to_start(&error))?;
        let log = ContainerLog::follow(self.engine, &self.name);
        let (port, found) = self.first_row(&log).await?;
        std::fs::remove_file(self.creating()).map_err(|error| {
            Error::new(ErrorKind::ServerLost, "the container's keeper has ended").with_source(error)
        })?;
        let pointer = found.pointer(&self.instance, Some(port), reason);
        self.registry.write_pointer(&pointer)?;
        Ok(pointer)
    }

    async fn create_and_start(&self, publish_on: &str) -> Result<(), EngineError> {
        let mut labels = labels::of(labels::SERVER, labels::state_dir(self.registry));
        labels.insert(labels::INSTANCE.to_owned(), self.instance.name());
        let mut settings =
            settings::tuned(self.image.major.unwrap_or(u32::MAX), &self.plan.settings);
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
        let options = CreateContainerOptionsBuilder::new()
            .name(&self.name)
            .build();
        let docker = &self.engine.docker;
        docker
            .create_container(Some(options), request.body())
            .await?;
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
                .is_none_or(|bytes| bytes >= ROOM_IN_MEMORY),
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
        let mut seen = "the container has no address yet".to_owned();
        loop {
            // Looked at before the attempt, so that a container which ends after it is asked once more.
            let ended = log.has_ended() || log.is_lost() && self.inspect().await?.is_none();
            if addresses.is_empty() && !ended {
                addresses = self.addresses().await?;
            }
            match self.first_answer(&addresses).await {
                // An address that is not the preferred one has answered; by now, the preferred ones may do so too.
                Ok((position, own)) => {
                    let (position, found) = self
                        .first_answer(&addresses[..position])
                        .await
                        .unwrap_or((position, own));
                    return Ok((self.published(&addresses[position]), found));
                }
                Err(refusals) if !refusals.is_empty() => seen = refusals,
                Err(_) => {}
            }
            if ended {
                return Err(self.failure(&log.text(), &seen));
            }
            if let Err(error) = patience.pause(&seen).await {
                let help = if was_ready(&log.text()) {
                    UNREACHABLE
                } else {
                    SLOW
                };
                return Err(error
                    .with_evidence("the container's log ends", log.tail(LOG_LINES))
                    .with_help(help));
            }
        }
    }

    /// The first of these addresses at which the server answers, or why none of them does.
    async fn first_answer(
        &self,
        addresses: &[(String, u16)],
    ) -> Result<(usize, Identification), String> {
        let mut refusals = Vec::new();
        for (position, (host, port)) in addresses.iter().enumerate() {
            match self.ask(host, *port).await {
                Ok(found) => return Ok((position, found)),
                Err(reason) => refusals.push(format!("{host}:{port}: {reason}")),
            }
        }
        Err(refusals.join("; "))
    }

    fn published(&self, (host, port): &(String, u16)) -> PublishedPort {
        PublishedPort {
            host: host.clone(),
            port: *port,
            password: self.password.clone(),
            container: self.name.clone(),
            engine: self.engine.endpoint.url.clone(),
        }
    }

    async fn ask(&self, host: &str, port: u16) -> Result<Identification, String> {
        let conn = ConnParams::tcp(host, port, SUPERUSER, &self.password);
        let asking = async {
            let mut connection = conn
                .connect_own(ADMIN_DATABASE)
                .await
                .map_err(|error| first_cause(&error))?;
            identify(&mut connection)
                .await
                .map_err(|error| first_cause(&error))
        };
        let found = tokio::time::timeout(ATTEMPT, asking)
            .await
            .map_err(|_| "no answer".to_owned())??;
        match found.identity.as_deref() {
            Some(identity) if identity == self.instance.name() => Ok(found),
            other => Err(format!("another server answers: {other:?}")),
        }
    }

    /// What the engine knows of the container; nothing once it has ended and is removed.
    async fn inspect(&self) -> Result<Option<ContainerInspectResponse>> {
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
            Err(error) => Err(self.refused("inspect", &error)),
        }
    }

    async fn addresses(&self) -> Result<Vec<(String, u16)>> {
        let Some(inspected) = self.inspect().await? else {
            return Ok(Vec::new());
        };
        let network = inspected.network_settings.unwrap_or_default();
        let mut addresses = Vec::new();
        for (_, bindings) in network.ports.unwrap_or_default() {
            for binding in bindings.unwrap_or_default() {
                let Some(port) = binding.host_port.and_then(|port| port.parse().ok()) else {
                    continue;
                };
                let host = self
                    .engine
                    .endpoint
                    .remote_host()
                    .unwrap_or(LOOPBACK)
                    .to_owned();
                addresses.push((host, port));
            }
        }
        // Where a port is not forwarded to us: in a container beside it, or on a host without forwarding.
        if self.engine.endpoint.remote_host().is_none() {
            let own = network
                .networks
                .unwrap_or_default()
                .into_values()
                .filter_map(|network| network.ip_address);
            addresses.extend(
                own.filter(|address| !address.is_empty())
                    .map(|address| (address, PORT)),
            );
        }
        addresses.dedup();
        Ok(addresses)
    }

    fn refused(&self, what: &str, error: &EngineError) -> Error {
        let reason = engine::reason(error);
        let kind = if native::is_full(&reason) {
            ErrorKind::OutOfSpace
        } else {
            ErrorKind::ServerStart
        };
        let message = format!(
            "the engine at {} did not {what} the container",
            self.engine.endpoint.url
        );
        let command = self.engine.make.command();
        let help = if matches!(error, EngineError::DockerResponseServerError { .. }) {
            let image = &self.image.reference;
            format!(
                "see whether `{command} run --rm -e POSTGRES_PASSWORD=x {image}` does; or set EBBTIDE_BACKEND=native"
            )
        } else {
            format!(
                "see with `{command} version` whether the engine still answers, and run the tests again; or set \
                 EBBTIDE_BACKEND=native"
            )
        };
        Error::new(kind, message)
            .with_source(reason)
            .with_help(help)
    }

    fn refused_to_start(&self, error: &EngineError) -> Error {
        let reason = engine::reason(error);
        // In the words of the runtimes, runc and crun.
        if reason.contains("executable file") && reason.contains("not found") {
            return self.image.unusable("there is no sh").with_source(reason);
        }
        self.refused("start", error)
    }

    /// The container ended before it answered. `seen` is the last of it before it did.
    fn failure(&self, log: &str, seen: &str) -> Error {
        let image = &self.image.reference;
        // The entrypoint's last word, if it refuses the image.
        if let Some(complaint) = log
            .lines()
            .next_back()
            .and_then(|line| line.trim().strip_prefix("ebbtide: "))
        {
            let versions = complaint
                .strip_prefix(OTHER_MAJOR)
                .and_then(|versions| versions.split_once(", not "));
            return match versions {
                Some((found, wanted)) => self.image.of_other_major(found, wanted),
                None => self.image.unusable(complaint),
            };
        }
        if was_ready(log) {
            let message = format!(
                "server start: no answer until the container ended, because nobody used it ({seen})"
            );
            return Error::new(ErrorKind::Timeout, message)
                .with_evidence("the container's log ends", last_lines(log, LOG_LINES))
                .with_help(UNREACHABLE);
        }
        let kind = if native::is_full(log) {
            ErrorKind::OutOfSpace
        } else {
            ErrorKind::ServerStart
        };
        let message = format!("the container from image {image} ended before PostgreSQL answered");
        Error::new(kind, message).with_evidence("the container's log ends", last_lines(log, LOG_LINES)).with_help(
            "the log says why; settings that the server refuses come from `settings` in ebbtide.toml or the builder",
        )
    }
}

/// What the container prints while it starts: it goes with the container.
struct ContainerLog {
    text: Arc<Mutex<String>>,
    is_lost: Arc<AtomicBool>,
    follower: JoinHandle<()>,
}

impl ContainerLog {
    fn follow(engine: &Engine, container: &str) -> Self {
        let options = LogsOptionsBuilder::new()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .build();
        let mut lines = engine.docker.logs(container, Some(options));
        let text = Arc::new(Mutex::new(String::new()));
        let is_lost = Arc::new(AtomicBool::new(false));
        let (kept, lost) = (Arc::clone(&text), Arc::clone(&is_lost));
        let follower = tokio::spawn(async move {
            while let Some(line) = lines.next().await {
                match line {
                    Ok(line) => kept
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_str(&line.to_string()),
                    Err(error) => {
                        tracing::debug!(%error, "the container's log cannot be followed");
                        lost.store(true, Ordering::Release);
                        return;
                    }
                }
            }
        });
        Self {
            text,
            is_lost,
            follower,
        }
    }

    /// The log ends when the container does.
    fn has_ended(&self) -> bool {
        self.follower.is_finished() && !self.is_lost()
    }

    /// Whether the engine does not tell it: it has gone, or writes logs where it cannot read them.
    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn tail(&self, lines: usize) -> String {
        last_lines(&self.text(), lines)
    }
}

impl Drop for ContainerLog {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// What an error comes from, in the words of the system or the server.
fn first_cause(error: &(dyn std::error::Error + 'static)) -> String {
    told(engine::causes(error).last().unwrap_or(error))
}

fn was_ready(log: &str) -> bool {
    log.split_once(LISTENING)
        .is_some_and(|(_, rest)| rest.contains(READY))
}
