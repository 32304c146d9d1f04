//! The contexts in the directory of Docker's configuration.
//!
//! ```text
//! config.json                   currentContext: the name of the context in use
//! contexts/meta/ID/meta.json    Endpoints.docker: Host, SkipTLSVerify
//! contexts/tls/ID/docker/       ca.pem, cert.pem, key.pem
//! ```
//!
//! ebbtide reads these files itself, because a machine may have an engine and no program `docker`.

use std::io;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::candidate::Candidate;
use crate::config::EngineHints;

impl Candidate {
    /// The engine of a context.
    pub(super) fn of_context(name: &str, hints: &EngineHints) -> Result<Self, String> {
        let dir = hints
            .config_dir
            .as_ref()
            .ok_or("neither DOCKER_CONFIG nor HOME is set to find it")?
            .join("contexts");
        // Docker names the directory of a context by the SHA-256 hash of the context's name.
        let id = hex::encode(Sha256::digest(name));
        let missing = || format!("there is no such context below {}", dir.display());
        let meta = read_json(&dir.join("meta").join(&id).join("meta.json"))?.ok_or_else(missing)?;
        let docker = meta
            .pointer("/Endpoints/docker")
            .ok_or("it has no endpoint for Docker")?;
        let host = docker
            .get("Host")
            .and_then(Value::as_str)
            .ok_or("its endpoint has no Host")?;
        // `docker context create` makes this directory only for a context with certificates.
        let certificates =
            Some(dir.join("tls").join(&id).join("docker")).filter(|dir| dir.is_dir());
        // bollard always verifies the engine's certificate. Without this check, the handshake would
        // fail, and its reason would not name the setting.
        if docker.get("SkipTLSVerify").and_then(Value::as_bool) == Some(true) {
            return Err(format!(
                "it sets SkipTLSVerify for {host}, which ebbtide does not support"
            ));
        }
        Self::new(host, format!("Docker's context {name}"), certificates)
            .map_err(|reason| format!("its Host {host:?} {reason}"))
    }
}

/// The context that Docker's own tools use by default, unless it is `default`.
pub(super) fn current(hints: &EngineHints) -> Result<Option<String>, String> {
    let Some(dir) = &hints.config_dir else {
        return Ok(None);
    };
    let config = read_json(&dir.join("config.json"))?;
    let name = config
        .as_ref()
        .and_then(|config| config.get("currentContext"))
        .and_then(Value::as_str);
    // `docker context use default` removes the key, but an edited file may contain either name.
    Ok(name
        .filter(|name| !matches!(*name, "" | "default"))
        .map(str::to_owned))
}

/// Parses a JSON file. Returns `None` if the file does not exist.
fn read_json(path: &Path) -> Result<Option<Value>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| format!("{}: {error}", path.display()))
}
