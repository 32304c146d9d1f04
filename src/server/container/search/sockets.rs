//! The sockets at which engines usually listen.

use std::path::PathBuf;

use super::address::Address;
use super::candidate::Candidate;
use crate::config::EngineHints;

/// Adds a candidate for each socket that exists, and one reason for all others.
pub(super) fn add_usual(hints: &EngineHints, places: &mut Vec<Result<Candidate, String>>) {
    // Only root can create a socket in /run. Rootless engines use XDG_RUNTIME_DIR, desktop variants
    // the home directory.
    let runtime = |path: &str| hints.runtime_dir.as_ref().map(|dir| dir.join(path));
    let home = |path: &str| hints.home.as_ref().map(|dir| dir.join(path));
    let usual = [
        // With Docker Desktop, this is a link, which the user may forbid
        // (https://docs.docker.com/desktop/setup/install/mac-permission-requirements/).
        (
            "the default socket",
            Some(PathBuf::from("/var/run/docker.sock")),
        ),
        ("rootless Docker", runtime("docker.sock")),
        ("Docker Desktop", home(".docker/run/docker.sock")),
        ("Docker Desktop", home(".docker/desktop/docker.sock")),
        ("Colima", home(".colima/default/docker.sock")),
        ("OrbStack", home(".orbstack/run/docker.sock")),
        ("Rancher Desktop", home(".rd/docker.sock")),
        // The user's own Podman comes before the system's, whose socket only root can use.
        ("rootless Podman", runtime("podman/podman.sock")),
        ("Podman", Some(PathBuf::from("/run/podman/podman.sock"))),
    ];
    let mut missing = Vec::new();
    for (origin, path) in usual
        .into_iter()
        .filter_map(|(origin, path)| Some((origin, path?)))
    {
        let address = Address::Socket(path.clone());
        // A context or CONTAINER_HOST often names one of these. A second attempt would only repeat
        // the reason, and the wait for an engine that does not answer.
        if places
            .iter()
            .flatten()
            .any(|candidate| candidate.address == address)
        {
            continue;
        }
        // If the check itself fails, the socket may exist: connecting gives the reason.
        if path.try_exists().unwrap_or(true) {
            places.push(Candidate::new(
                &format!("unix://{}", path.display()),
                origin.to_owned(),
                None,
            ));
        } else {
            missing.push(path.display().to_string());
        }
    }
    // In one line, because most of these sockets are missing on every machine.
    if !missing.is_empty() {
        places.push(Err(format!("no socket at {}", missing.join(", "))));
    }
}
