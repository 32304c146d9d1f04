//! Everything from the image to the server's first answer.
//!
//! ```text
//! client                       supervisor                       engine
//! ------                       ----------                       ------
//! spawn the supervisor ------> make the directory, with the
//!                              client's lease in it
//! wait for `serving` <-------- close standard error
//! write `creating`
//! create the container -------------------------------------> container exists
//! start the container --------------------------------------> entrypoint, PostgreSQL
//! poll for an answer
//! delete `creating`            (waits for the lease's end)
//! write the pointer            other processes find the server
//! ```
//!
//! While the file `creating` exists, no other process can find the container. If the client is
//! killed then, the supervisor removes the container at once. Afterwards the container may have
//! users, and only its own entrypoint ends it.

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

use super::super::identification::{Identification, SUPERUSER, identify};
use super::super::registry::{Health, Instance, LeaseName, Pointer, Registry, ServerLease};
use super::super::running::{Origin, Server};
use super::super::sharing::Sharing;
use super::super::{disk, settings, supervisor};
use super::cache::CacheVolume;
use super::engine::{self, Engine};
use super::handle::ContainerHandle;
use super::image::Image;
use super::published_port::PublishedPort;
use super::request::Request;
use super::{labels, sweep};
use crate::config::{Backend, Plan, Storage};
use crate::conn::{ADMIN_DATABASE, ConnParams, PORT};
use crate::error::{Error, ErrorKind, Result, cause_message};
use crate::guard_names::IDENTITY_SETTING;
use crate::process::{Detached, last_lines};
use crate::wait::Polling;

/// The supervisor of a container.
pub(super) const SCRIPT: &str =
    concat!(include_str!("../instance.sh"), include_str!("supervise.sh"));

const LOOPBACK: &str = "127.0.0.1";
/// How long one attempt to connect may take. A forwarded port may accept a connection and then send
/// nothing.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// The engine's memory, in bytes, from which on [`Storage::Auto`] keeps the data in memory.
const MIN_ENGINE_MEMORY: u64 = 4 << 30;
const MAX_LOG_LINES: usize = 15;
/// The beginning of the entrypoint's message about another major version.
const OTHER_MAJOR_PREFIX: &str = "the image has PostgreSQL ";
/// PostgreSQL logs these two messages, in this order, when it serves.
///
/// The image's entrypoint starts a temporary server for `initdb` scripts before. That one logs the
/// second message, but it listens on no address.
const LISTENING_MESSAGE: &str = "listening on IPv";
const READY_MESSAGE: &str = "ready to accept connections";
const UNREACHABLE_HELP: &str = "PostgreSQL listens in its container, and its port cannot be \
     reached from here: look for a firewall or a network between the two; or set \
     EBBTIDE_BACKEND=native";
const SLOW_HELP: &str = "the log shows how far the start got: allow more time with \
     EBBTIDE_START_TIMEOUT, or set EBBTIDE_BACKEND=native";

/// Everything that is decided before a container is created.
pub(super) struct Launch<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    engine: &'a Engine,
    image: &'a Image,
    instance: Instance,
    /// The container's name.
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
        let instance = registry.instance(&registry.key.new_instance_name());
        // The client chooses the name, because the supervisor must have it before the engine
        // creates the container. The instance's name is unique.
        let name = format!("ebbtide-{}", instance.name());
        let cache = CacheVolume::get(engine, plan, sharing, image).await;
        // The port may be reachable from other machines, so the password is random.
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

    /// Starts the supervisor, then the container, and waits for the server's first answer.
    ///
    /// The supervisor comes first. A client that is killed right after the engine created the
    /// container then leaves a process that removes it.
    ///
    /// # Errors
    /// The container does not start, or its server does not answer in time. Both are removed.
    pub(super) async fn run(self, reason: String, began: Instant) -> Result<Server> {
        let lease_name = LeaseName::process();
        let mut supervisor = self.spawn_supervisor(&lease_name)?;
        let lease = ServerLease::written_by_supervisor(&self.instance, &lease_name);
        // The supervisor closes its standard error when the directory is complete, or by its own
        // end. After a failure it has deleted the directory.
        let output = supervisor.start_up_output().await;
        if self.instance.health() != Health::Serving {
            return Err(Error::new(
                ErrorKind::ServerStart,
                "the supervisor could not create the instance directory",
            )
            .with_evidence("the supervisor's output", output)
            .with_help("look for a full disk, or set EBBTIDE_STATE_DIR to a directory with room"));
        }
        // If the caller drops this future here, the lease ends with it. The supervisor then removes
        // what exists so far, as after the end of this process.
        match self.create_and_publish(reason).await {
            Ok((pointer, port)) => {
                let access =
                    ContainerHandle::access(self.plan, &pointer, port, self.instance, lease);
                Ok(Server::with_instance(
                    pointer,
                    access,
                    Origin::Started,
                    began,
                ))
            }
            Err(error) => {
                // The start's own error is the one to report, so failures here are ignored. If the
                // engine does not remove the container, `creating` stays and the supervisor tries.
                if sweep::remove(self.engine, &self.name).await.is_ok() {
                    let _ = std::fs::remove_file(self.creating_file());
                }
                // The last step: a supervisor that still found `creating` would try five times to
                // remove a container that is gone.
                self.instance.give_up();
                Err(error)
            }
        }
    }

    /// The file that exists while no other process can find the container.
    fn creating_file(&self) -> std::path::PathBuf {
        self.instance.dir.join("creating")
    }

    fn spawn_supervisor(&self, lease: &LeaseName) -> Result<Detached> {
        let mut command =
            supervisor::command(SCRIPT, &self.instance, self.registry, self.plan, lease);
        command.arg(&self.name).arg(&self.engine.endpoint.url);
        // No other account, even for root: only PostgreSQL refuses to run as root, and it runs in
        // the container. The supervisor needs this user's access to the engine.
        supervisor::spawn(command, None)
    }

    /// Creates the container and publishes the pointer to it.
    async fn create_and_publish(&self, reason: String) -> Result<(Pointer, PublishedPort)> {
        // Before the engine gets the request: if this process is killed from here on, the file
        // makes the supervisor remove the container.
        let creating = self.creating_file();
        std::fs::write(&creating, "").map_err(|error| {
            Error::new(
                ErrorKind::StateDir,
                "the instance directory cannot be written",
            )
            .with_source(error)
        })?;
        let publish_on = self.publish_on();
        let started = match self.create_and_start(&publish_on).await {
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
                self.create_and_start("0.0.0.0").await
            }
            other => other,
        };
        started.map_err(|error| self.start_error(&error))?;
        // Even if the container fails at once, this request is in time: the entrypoint waits a
        // second before it exits with an error (`fail` in entrypoint.sh).
        let log = ContainerLog::follow(self.engine, &self.name);
        let (port, found) = self.await_first_answer(&log).await?;
        // Before the pointer: a pointer that exists together with `creating` would let another
        // process use the container, and the supervisor could still remove it. A client killed
        // between the two steps leaves a server without a pointer, which ends after the linger.
        //
        // If the file is missing, the supervisor has deleted the directory meanwhile.
        std::fs::remove_file(&creating).map_err(|error| {
            let message = format!(
                "the container's supervisor must run until the server answers, but its file {} \
                 could not be removed",
                creating.display()
            );
            Error::new(ErrorKind::ServerLost, message)
                .with_source(error)
                .with_help(
                    "run the tests again: the next run starts a new server; if the error returns, \
                     look for a program that ends background processes or deletes files in the \
                     state directory",
                )
        })?;
        let pointer = found.pointer(&self.instance, Backend::Container, port.to_json(), reason);
        self.registry.write_pointer(&pointer)?;
        Ok((pointer, port))
    }

    async fn create_and_start(&self, publish_on: &str) -> Result<(), EngineError> {
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

    /// The address of the engine's host at which the port is published.
    ///
    /// It is the narrowest one that this client can reach: the loopback address for an engine on
    /// this machine, the engine's own address for a remote one. A host name may resolve differently
    /// on the engine's host, so with a name the port is published at all addresses.
    fn publish_on(&self) -> String {
        match self.engine.endpoint.remote_host() {
            None | Some("localhost") => LOOPBACK.to_owned(),
            Some(host) if host.parse::<IpAddr>().is_ok() => host.to_owned(),
            Some(_) => "0.0.0.0".to_owned(),
        }
    }

    /// Waits until the server answers a query, at the published port or the container's own
    /// address.
    ///
    /// A connection alone would not prove it, because a forwarded port accepts connections before
    /// the server does.
    ///
    /// # Errors
    /// The container ended, or the start timeout has passed. Both contain the end of the log.
    async fn await_first_answer(
        &self,
        log: &ContainerLog,
    ) -> Result<(PublishedPort, Identification)> {
        let mut polling = Polling::new("server start: no answer", *self.plan.start_timeout.get());
        let mut addresses = Vec::new();
        let mut seen = "the container has no address yet".to_owned();
        loop {
            // The order matters: a container that ends after this check gets one more attempt, so
            // `seen` contains the last failure before its end.
            //
            // A log that cannot be read proves no end. Then the engine decides, which removes a
            // container as soon as it has ended (`auto_remove`).
            let ended = log.has_ended() || log.is_lost() && self.inspect().await?.is_none();
            if addresses.is_empty() && !ended {
                addresses = self.addresses().await?;
            }
            match self.first_answer(&addresses).await {
                // Addresses are tried in the order of preference. While a later one was tried, an
                // earlier one may have become ready.
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
                return Err(self.ended_error(&log.text(), &seen));
            }
            if let Err(error) = polling.pause(&seen).await {
                let help = if was_ready(&log.text()) {
                    UNREACHABLE_HELP
                } else {
                    SLOW_HELP
                };
                return Err(error
                    .with_evidence("the container's log ends", log.tail(MAX_LOG_LINES))
                    .with_help(help));
            }
        }
    }

    /// The first of these addresses at which the server answers.
    ///
    /// # Errors
    /// The reason for each address, or an empty string without addresses.
    async fn first_answer(
        &self,
        addresses: &[(String, u16)],
    ) -> Result<(usize, Identification), String> {
        let mut refusals = Vec::new();
        for (position, (host, port)) in addresses.iter().enumerate() {
            match self.identify_at(host, *port).await {
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

    /// Connects, and checks that the server is the one of this container.
    async fn identify_at(&self, host: &str, port: u16) -> Result<Identification, String> {
        let conn = ConnParams::tcp(host, port, SUPERUSER, &self.password);
        let attempt = async {
            let mut connection = conn
                .connect_own(ADMIN_DATABASE)
                .await
                .map_err(|error| first_cause(&error))?;
            identify(&mut connection)
                .await
                .map_err(|error| first_cause(&error))
        };
        let found = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt)
            .await
            .map_err(|_| "no answer".to_owned())??;
        // The password alone does not prove it: with the method `trust`, another server accepts
        // every password (https://www.postgresql.org/docs/current/auth-trust.html).
        match found.identity.as_deref() {
            Some(identity) if identity == self.instance.name() => Ok(found),
            other => Err(format!("another server answers: {other:?}")),
        }
    }

    /// The engine's description of the container, or `None` once it is removed.
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
            Err(error) => Err(self.engine_error("inspect", &error)),
        }
    }

    /// The addresses at which the server may answer, in the order of preference.
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
                // Not the address of the binding, which may be 0.0.0.0.
                let host = self
                    .engine
                    .endpoint
                    .remote_host()
                    .unwrap_or(LOOPBACK)
                    .to_owned();
                addresses.push((host, port));
            }
        }
        // A client in another container of this engine does not reach the host's published port,
        // nor does any client of an engine without port forwarding. Both reach the container's own
        // address.
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

    /// The error for a request that the engine did not serve. `action` is the verb of the request.
    fn engine_error(&self, action: &str, error: &EngineError) -> Error {
        let reason = engine::reason(error);
        let kind = if disk::is_full(&reason) {
            ErrorKind::OutOfSpace
        } else {
            ErrorKind::ServerStart
        };
        let message = format!(
            "the engine at {} did not {action} the container",
            self.engine.endpoint.url
        );
        let command = self.engine.kind.command();
        let help = if matches!(error, EngineError::DockerResponseServerError { .. }) {
            let image = &self.image.reference;
            format!(
                "check whether `{command} run --rm -e POSTGRES_PASSWORD=x {image}` works; or set \
                 EBBTIDE_BACKEND=native"
            )
        } else {
            format!(
                "check with `{command} version` whether the engine still answers, and run the \
                 tests again; or set EBBTIDE_BACKEND=native"
            )
        };
        Error::new(kind, message)
            .with_source(reason)
            .with_help(help)
    }

    fn start_error(&self, error: &EngineError) -> Error {
        let reason = engine::reason(error);
        // Both container runtimes, runc and crun, use these words.
        if reason.contains("executable file") && reason.contains("not found") {
            return self
                .image
                .unusable_error("there is no sh")
                .with_source(reason);
        }
        self.engine_error("start", error)
    }

    /// The error for a container that ended before its server answered.
    ///
    /// `seen` is the last failed attempt before its end.
    fn ended_error(&self, log: &str, seen: &str) -> Error {
        let image = &self.image.reference;
        // If the entrypoint refuses the image, its message is the last line.
        if let Some(refusal) = log
            .lines()
            .next_back()
            .and_then(|line| line.trim().strip_prefix("ebbtide: "))
        {
            let versions = refusal
                .strip_prefix(OTHER_MAJOR_PREFIX)
                .and_then(|versions| versions.split_once(", not "));
            return match versions {
                Some((found, wanted)) => self.image.other_major_error(found, wanted),
                None => self.image.unusable_error(refusal),
            };
        }
        // The server was ready, and the container ended because it saw no connection for the
        // linger.
        if was_ready(log) {
            let message = format!(
                "server start: no client reached the server before the container ended by itself \
                 ({seen})"
            );
            return Error::new(ErrorKind::Timeout, message)
                .with_evidence("the container's log ends", last_lines(log, MAX_LOG_LINES))
                .with_help(UNREACHABLE_HELP);
        }
        let kind = if disk::is_full(log) {
            ErrorKind::OutOfSpace
        } else {
            ErrorKind::ServerStart
        };
        let message = format!("the container from image {image} ended before PostgreSQL answered");
        Error::new(kind, message)
            .with_evidence("the container's log ends", last_lines(log, MAX_LOG_LINES))
            .with_help(
                "see the log for the reason; settings that the server rejects come from `settings` \
                 in ebbtide.toml or the builder",
            )
    }
}

/// The container's log during the start.
///
/// A task follows it, because the engine removes the log together with the container.
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
            // The stream ends without an error when the container ends. If the engine ends or
            // cannot read the log, an error comes before the end.
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

    /// Whether the container has ended: its log ends at the same time.
    fn has_ended(&self) -> bool {
        // In this order: the task stores `is_lost` before it finishes, so a finished task with a
        // lost log is never taken for an ended container.
        self.follower.is_finished() && !self.is_lost()
    }

    /// Whether the engine cannot deliver the log: it has ended, or its log driver cannot read logs.
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
        // Otherwise the task and its request would last as long as the container runs.
        self.follower.abort();
    }
}

/// The innermost cause of an error, as the system or the server reports it.
fn first_cause(error: &(dyn std::error::Error + 'static)) -> String {
    cause_message(engine::causes(error).last().unwrap_or(error))
}

fn was_ready(log: &str) -> bool {
    log.split_once(LISTENING_MESSAGE)
        .is_some_and(|(_, rest)| rest.contains(READY_MESSAGE))
}
