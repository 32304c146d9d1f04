//! Finds a container engine that answers, through Docker's protocol.

use std::fmt::{self, Write as _};

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::SystemVersion;

use super::search::Search;
use crate::config::EngineHints;
use crate::error::{Error, ErrorKind, Result};

/// A container engine that answered.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) endpoint: Endpoint,
    pub(crate) make: Make,
    /// The engine's own version, such as `28.2.2`.
    pub(crate) version: String,
    /// The memory of the engine's machine in bytes, if it tells.
    pub(crate) memory: Option<u64>,
}

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `unix:///path`, `tcp://host:port`.
    pub(crate) url: String,
    /// Who named it: `DOCKER_HOST`, `the default socket`, `Docker's context desktop-linux`.
    pub(crate) origin: String,
}

/// Whose engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Docker,
    Podman,
}

impl Engine {
    /// Asks the engines that the hints name, one after the other, until one answers.
    ///
    /// What `DOCKER_HOST` or `DOCKER_CONTEXT` names is the only one asked.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when one of the two names nothing that could be asked, and
    /// [`ErrorKind::BackendUnavailable`] with every engine that was asked and why it would not do.
    pub(crate) async fn find(hints: &EngineHints) -> Result<Self> {
        let search = Search::new(hints)?;
        let mut tried = String::new();
        for place in search.places {
            let reason = match place {
                Ok(candidate) => match candidate.introduce().await {
                    Ok(engine) => return Ok(engine),
                    Err(reason) => format!("{}: {reason}", candidate.endpoint),
                },
                Err(reason) => reason,
            };
            writeln!(tried, "{reason}").expect("writing to a string does not fail");
        }
        let (message, help) = match search.only {
            Some(variable) => (
                format!("the container engine that {variable} names does not answer"),
                format!("start it, correct or unset {variable}, or set EBBTIDE_BACKEND=native"),
            ),
            None => (
                "no container engine answers".to_owned(),
                "start Docker or Podman, set DOCKER_HOST to the address of an engine, or set EBBTIDE_BACKEND=native"
                    .to_owned(),
            ),
        };
        Err(Error::new(ErrorKind::BackendUnavailable, message)
            .with_evidence("tried", tried)
            .with_help(help))
    }
}

impl Endpoint {
    /// The host on which published ports are reached, if the engine is addressed by one.
    pub(crate) fn remote_host(&self) -> Option<&str> {
        let (scheme, rest) = self.url.split_once("://")?;
        if !matches!(scheme, "tcp" | "http" | "https") {
            return None;
        }
        let authority = authority(rest);
        match authority.strip_prefix('[') {
            Some(address) => address.split(']').next(),
            None => authority.split(':').next(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url, self.origin)
    }
}

impl Make {
    /// The program with which people talk to it.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    pub(super) fn of(version: &SystemVersion) -> Self {
        let mut components = version.components.iter().flatten();
        if components.any(|component| component.name.contains("Podman")) {
            Self::Podman
        } else {
            Self::Docker
        }
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// What an engine, or the way to it, says of a failure: the engine's words without their wrapping, else the first cause.
pub(crate) fn reason(error: &EngineError) -> String {
    match error {
        EngineError::DockerResponseServerError { message, .. } if !message.trim().is_empty() => {
            message.trim().to_owned()
        }
        EngineError::DockerStreamError { error } => error.trim().to_owned(),
        _ => causes(error)
            .last()
            .map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// The part of a URL that names the host and the port.
pub(super) fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// An error and what it comes from, the first cause last.
pub(super) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_published_ports_is_the_engines() {
        let remote = |url: &str| {
            let endpoint = Endpoint {
                url: url.to_owned(),
                origin: String::new(),
            };
            endpoint.remote_host().map(str::to_owned)
        };
        assert_eq!(remote("tcp://10.0.0.5:2375").as_deref(), Some("10.0.0.5"));
        assert_eq!(
            remote("https://docker.test/").as_deref(),
            Some("docker.test")
        );
        assert_eq!(remote("tcp://[::1]:2375").as_deref(), Some("::1"));
        assert_eq!(remote("unix:///var/run/docker.sock"), None);
    }

    #[tokio::test]
    async fn the_engine_of_this_machine_introduces_itself() {
        match Engine::find(&EngineHints::default()).await {
            Ok(engine) => {
                assert!(
                    engine.docker.client_version().to_string().starts_with("1."),
                    "{engine:?}"
                );
                assert!(
                    engine.memory.is_some_and(|bytes| bytes > 1 << 20),
                    "{engine:?}"
                );
                assert_eq!(engine.endpoint.remote_host(), None);
                println!("{} {} at {}", engine.make, engine.version, engine.endpoint);
            }
            Err(error) => println!("SKIPPED: no container engine: {error:?}"),
        }
    }
}
