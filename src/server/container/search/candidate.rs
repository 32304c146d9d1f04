//! An engine to try, before any request to it.

use std::path::PathBuf;

use super::super::engine::Endpoint;
use super::address::Address;
use crate::config::EngineHints;
use crate::error::{Error, ErrorKind, Result};

/// An engine to try.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) endpoint: Endpoint,
    pub(super) address: Address,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`, if the connection must be encrypted.
    pub(super) certificates: Option<PathBuf>,
}

impl Candidate {
    pub(super) fn new(
        url: &str,
        origin: String,
        certificates: Option<PathBuf>,
    ) -> Result<Self, String> {
        // The ports that are registered for Docker's API, with TLS and without.
        let address = Address::parse(url, if certificates.is_some() { 2376 } else { 2375 })?;
        Ok(Self {
            endpoint: Endpoint {
                url: url.to_owned(),
                origin,
            },
            address,
            certificates,
        })
    }

    pub(super) fn of_docker_host(host: &str, hints: &EngineHints) -> Result<Self> {
        // Docker's own tools, too, look in the configuration directory if DOCKER_CERT_PATH is not
        // set.
        let certificates = (hints.tls_verify || host.starts_with("https://")).then(|| {
            hints
                .cert_path
                .clone()
                .or_else(|| hints.config_dir.clone())
                .unwrap_or_default()
        });
        Self::new(host, "DOCKER_HOST".to_owned(), certificates).map_err(|reason| {
            Error::new(ErrorKind::Config, format!("DOCKER_HOST={host:?} {reason}")).with_help(
                "correct DOCKER_HOST, or unset it so that ebbtide tries the usual sockets",
            )
        })
    }
}
