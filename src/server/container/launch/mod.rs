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
//!
//! | module | content |
//! |---|---|
//! | `container` | the requests that create, start and inspect the container |
//! | `addresses` | where the port is published, and where the server may be reached |
//! | `first_answer` | the wait for the server, at all of these addresses |
//! | `log` | the container's log, which shows its end |
//! | `failure` | the errors of a start, from the engine's answer or the log |

mod addresses;
mod container;
mod failure;
mod first_answer;
mod log;

use std::time::Instant;

use super::cache::CacheVolume;
use super::engine::Engine;
use super::handle::ContainerHandle;
use super::image::Image;
use super::published_port::PublishedPort;
use super::sweep;
use crate::config::{Backend, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::process::Detached;
use crate::server::registry::{Health, Instance, LeaseName, Pointer, Registry, ServerLease};
use crate::server::running::{Origin, Server};
use crate::server::sharing::Sharing;
use crate::server::supervisor;
use log::ContainerLog;

/// The supervisor of a container.
pub(super) const SCRIPT: &str = concat!(
    include_str!("../../instance.sh"),
    include_str!("../supervise.sh")
);

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
        self.create_and_start().await?;
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
}
