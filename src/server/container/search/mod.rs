//! The possible container engines, in the order in which they are tried.
//!
//! ```text
//! DOCKER_HOST          set: the only candidate
//! DOCKER_CONTEXT       set and not `default`: the only candidate
//! current context      of Docker's config.json, if DOCKER_CONTEXT is not set
//! CONTAINER_HOST       Podman's variable
//! usual sockets        those of Docker, its desktop variants, and Podman
//! ```
//!
//! Tests should use the engine that `docker` uses in the same shell. So the search reads Docker's
//! variables and files in Docker's order. testcontainers' own search would not do, because it
//! supports neither contexts nor Podman's sockets.
//!
//! | module | content |
//! |---|---|
//! | `context`, `sockets` | the places to look at: Docker's configuration, and the usual sockets |
//! | `candidate`, `address` | an engine to try, and how it is reached |
//! | `connect`, `tls` | the first requests, and the client of an encrypted connection |
//! | `reason` | why a candidate cannot be used, with the remedy |

mod address;
mod candidate;
mod connect;
mod context;
mod reason;
mod sockets;
mod tls;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::engine::Engine;
use crate::config::EngineHints;
use crate::error::{Error, ErrorKind, Result};
use candidate::Candidate;

impl Engine {
    /// Tries the possible engines in order, until one answers.
    ///
    /// An engine named by `DOCKER_HOST` or `DOCKER_CONTEXT` is the only one tried.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when one of the two variables is not valid, and
    /// [`ErrorKind::BackendUnavailable`] with every engine that was tried and the reason why it
    /// cannot be used.
    pub(crate) async fn find(hints: &EngineHints) -> Result<Self> {
        let search = Search::new(hints)?;
        let mut tried = String::new();
        // One after the other: an engine that answers sooner must not win over a preferred one.
        for place in search.places {
            let reason = match place {
                Ok(candidate) => match candidate.connect().await {
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
                "start Docker or Podman, set DOCKER_HOST to the address of an engine, or set \
                 EBBTIDE_BACKEND=native"
                    .to_owned(),
            ),
        };
        Err(Error::new(ErrorKind::BackendUnavailable, message)
            .with_evidence("tried", tried)
            .with_help(help))
    }
}

/// The engines to try, in order.
struct Search {
    /// A candidate, or the reason why a possible place has none.
    places: Vec<Result<Candidate, String>>,
    /// The variable that excludes every other candidate.
    only: Option<&'static str>,
}

impl Search {
    /// Collects the candidates without connecting to them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when `DOCKER_HOST` or `DOCKER_CONTEXT` is not valid.
    fn new(hints: &EngineHints) -> Result<Self> {
        // Docker's own tools, too, give DOCKER_HOST precedence over DOCKER_CONTEXT. They never try
        // a second engine, which would have other images and another network.
        if let Some(host) = &hints.docker_host {
            return Ok(Self {
                places: vec![Ok(Candidate::of_docker_host(host, hints)?)],
                only: Some("DOCKER_HOST"),
            });
        }
        let mut places = Vec::new();
        if let Some(name) = &hints.context {
            // Docker reserves this name for its default engine, and stores no context for it.
            if name != "default" {
                let found = Candidate::of_context(name, hints).map_err(|reason| {
                    let message = format!("DOCKER_CONTEXT={name:?} cannot be used: {reason}");
                    Error::new(ErrorKind::Config, message).with_help(
                        "`docker context ls` lists the contexts; correct DOCKER_CONTEXT or unset it",
                    )
                })?;
                return Ok(Self {
                    places: vec![Ok(found)],
                    only: Some("DOCKER_CONTEXT"),
                });
            }
        } else {
            // The user did not name this context for the tests. If it cannot be used, the search
            // continues, and its reason is only reported when no engine answers.
            match context::current(hints) {
                Ok(Some(name)) => places.push(
                    Candidate::of_context(&name, hints)
                        .map_err(|reason| format!("Docker's current context {name}: {reason}")),
                ),
                Ok(None) => {}
                Err(reason) => places.push(Err(reason)),
            }
        }
        if let Some(host) = &hints.container_host {
            let found = Candidate::new(host, "CONTAINER_HOST".to_owned(), None);
            places.push(found.map_err(|reason| format!("CONTAINER_HOST={host:?} {reason}")));
        }
        sockets::add_usual(hints, &mut places);
        Ok(Self { places, only: None })
    }
}
