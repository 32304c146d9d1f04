//! Finds a container engine that answers. Docker and Podman share one HTTP API.

use std::fmt;

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::SystemVersion;

/// A container engine that answered.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: EngineKind,
    /// The engine's own version, such as `28.2.2`.
    pub(crate) version: String,
    /// The memory of the engine's machine in bytes, if the engine reports it.
    pub(crate) memory: Option<u64>,
}

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `unix:///path`, `tcp://host:port`.
    pub(crate) url: String,
    /// Where the address comes from: `DOCKER_HOST`, `the default socket`, `Docker's context
    /// desktop-linux`.
    pub(crate) origin: String,
}

/// The product that an engine belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Docker,
    Podman,
}

impl Endpoint {
    /// The host at which published ports are reached, if the engine has a network address.
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

impl EngineKind {
    /// The command-line program, for help texts.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    pub(super) fn of(version: &SystemVersion) -> Self {
        // Both have the same API. Podman lists itself as the component `Podman Engine`.
        let mut components = version.components.iter().flatten();
        if components.any(|component| component.name.contains("Podman")) {
            Self::Podman
        } else {
            Self::Docker
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// The reason for a failure: the engine's own message, or else the innermost cause.
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

/// An error and its sources. The innermost cause is the last.
pub(super) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_are_reached_at_the_engines_host() {
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
}
