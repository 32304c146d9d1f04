//! Why a native server did not start, as far as its output and its log show.

use crate::error::{Error, ErrorKind};
use crate::scarcity::Scarcity;

/// The facts about a failed start.
#[derive(Debug)]
pub(super) struct StartFailure {
    /// The step that failed.
    pub(super) message: String,
    /// The output of the supervisor and of `initdb`.
    pub(super) output: String,
    /// The end of the server's log.
    pub(super) log: String,
    /// The place that has no space left, and the remedy.
    pub(super) full: Option<(&'static str, &'static str)>,
}

impl StartFailure {
    pub(super) fn into_error(self) -> Error {
        let Self {
            message,
            output,
            log,
            full,
        } = self;
        let scarcity = Scarcity::in_text(&output).or_else(|| Scarcity::in_text(&log));
        let failed = |message: String| Error::new(ErrorKind::ServerStart, message);
        let error = match (scarcity, full) {
            // First, because a lack of semaphores is reported with the same ENOSPC as a full disk.
            (Some(scarcity), _) => {
                let message = format!("{message}: {}", scarcity.description());
                failed(message).with_help(scarcity.help())
            }
            (None, Some((place, help))) => {
                let message = format!("{message}: no space left in {place}");
                Error::new(ErrorKind::OutOfSpace, message).with_help(help)
            }
            // PostgreSQL looks up the name of its user (`getpwuid`), and so does the driver for its
            // default role.
            (None, None) if output.contains("could not look up effective user ID") => failed(
                format!("{message}: this user has no entry in the password file"),
            )
            .with_help(
                "add a line to /etc/passwd, for example with \
                     `echo \"tests:x:$(id -u):$(id -g)::/tmp:/bin/sh\" >> /etc/passwd` while the \
                     image is built, or run the tests as a user that has one",
            ),
            (None, None) => failed(message).with_help(
                "see the log for the reason; settings that the server rejects come from `settings` \
                 in ebbtide.toml or the builder",
            ),
        };
        error
            .with_evidence("the supervisor's output", output)
            .with_evidence("the server's log ends", log)
    }
}
