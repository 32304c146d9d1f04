//! Why a candidate cannot be used, with the remedy.

use std::io;

use testcontainers::bollard::errors::Error as EngineError;

use super::super::engine::{causes, reason};
use super::address::Address;
use super::candidate::Candidate;

impl Candidate {
    pub(super) fn diagnose(&self, error: &EngineError) -> String {
        // bollard and hyper wrap the error of the system call, and their own texts hide its kind.
        let io = causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .last();
        io.map_or_else(
            || reason(error),
            |io| self.io_reason(io.kind(), &io.to_string()),
        )
    }

    /// A reason with a remedy, or `text` if the kind of error has no known remedy.
    pub(super) fn io_reason(&self, kind: io::ErrorKind, text: &str) -> String {
        let local = matches!(self.address, Address::Socket(_));
        // By the path: an engine that does not answer does not report its product either.
        let podman = self.endpoint.url.contains("podman");
        let reason = match kind {
            // Podman's system socket belongs to root and root's group. There is no group to join.
            io::ErrorKind::PermissionDenied if local && podman => {
                "permission denied: use an engine of your own, `systemctl --user start \
                 podman.socket`"
            }
            io::ErrorKind::PermissionDenied if local => {
                "permission denied: add yourself to the engine's group, `sudo usermod -aG docker \
                 $USER`, and log in again; or use a rootless engine"
            }
            // A socket file may outlive its engine. The kernel then refuses the connection.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if podman => {
                "nothing answers: start Podman's service, `systemctl --user start podman.socket`"
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if local => {
                "nothing answers: start Docker, `sudo systemctl start docker` or its desktop \
                 application"
            }
            io::ErrorKind::ConnectionRefused => {
                "nothing answers: start the engine there, or correct the port"
            }
            _ => text,
        };
        reason.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_without_permission_has_its_own_remedy() {
        let diagnose = |url: &str, kind| {
            Candidate::new(url, String::new(), None)
                .unwrap()
                .io_reason(kind, "text")
        };
        let denied = diagnose("unix:///run/docker.sock", io::ErrorKind::PermissionDenied);
        assert!(
            denied.starts_with("permission denied: add yourself to the engine's group"),
            "{denied}"
        );
        assert!(
            diagnose(
                "unix:///run/podman/podman.sock",
                io::ErrorKind::PermissionDenied
            )
            .contains("systemctl --user")
        );
        assert_eq!(
            diagnose("tcp://docker:1", io::ErrorKind::PermissionDenied),
            "text"
        );
    }
}
