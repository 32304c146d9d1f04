//! The errors of a start.

use testcontainers::bollard::errors::Error as EngineError;

use super::super::engine;
use super::Launch;
use crate::error::{Error, ErrorKind};
use crate::process::last_lines;
use crate::server::disk;

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

impl Launch<'_> {
    /// The error for a request that the engine did not serve. `action` is the verb of the request.
    pub(super) fn engine_error(&self, action: &str, error: &EngineError) -> Error {
        let reason = engine::reason(error);
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
        Error::new(kind_of(&reason), message)
            .with_source(reason)
            .with_help(help)
    }

    pub(super) fn start_error(&self, error: &EngineError) -> Error {
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
    pub(super) fn ended_error(&self, log: &str, seen: &str) -> Error {
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
        let message = format!("the container from image {image} ended before PostgreSQL answered");
        Error::new(kind_of(log), message)
            .with_evidence("the container's log ends", last_lines(log, MAX_LOG_LINES))
            .with_help(
                "see the log for the reason; settings that the server rejects come from `settings` \
                 in ebbtide.toml or the builder",
            )
    }
}

/// The error for a server that has not answered within the start timeout.
pub(super) fn unanswered_error(timeout: Error, log: &str) -> Error {
    let help = if was_ready(log) {
        UNREACHABLE_HELP
    } else {
        SLOW_HELP
    };
    timeout
        .with_evidence("the container's log ends", last_lines(log, MAX_LOG_LINES))
        .with_help(help)
}

/// The kind of a failed start, by the engine's reason or the container's log.
fn kind_of(text: &str) -> ErrorKind {
    if disk::is_full(text) {
        ErrorKind::OutOfSpace
    } else {
        ErrorKind::ServerStart
    }
}

fn was_ready(log: &str) -> bool {
    log.split_once(LISTENING_MESSAGE)
        .is_some_and(|(_, rest)| rest.contains(READY_MESSAGE))
}
