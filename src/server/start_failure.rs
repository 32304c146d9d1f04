//! Why a server of this machine's binaries did not start, as far as its output shows.

use crate::error::{Error, ErrorKind};
use crate::scarcity::Scarcity;

/// What is known of a failed start.
#[derive(Debug)]
pub(super) struct StartFailure {
    /// The step that failed.
    pub(super) message: String,
    /// What the supervisor and `initdb` wrote.
    pub(super) output: String,
    pub(super) log: String,
    /// The place without space and what to do about it, where there is none left.
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
            (Some(scarcity), _) => failed(format!("{message}: {}", scarcity.what())).with_help(scarcity.help()),
            (None, Some((place, help))) => {
                Error::new(ErrorKind::OutOfSpace, format!("{message}: no space left in {place}")).with_help(help)
            }
            // PostgreSQL looks its user up (`getpwuid`), and so does the driver's own default.
            (None, None) if output.contains("could not look up effective user ID") => {
                failed(format!("{message}: this user has no entry in the password file")).with_help(
                    "add a line to /etc/passwd, for example with `echo \"tests:x:$(id -u):$(id -g)::/tmp:/bin/sh\" >> \
                     /etc/passwd` while the image is built, or run the tests as a user that has one",
                )
            }
            (None, None) => failed(message).with_help(
                "the log says why; settings that the server refuses come from `settings` in ebbtide.toml or the builder",
            ),
        };
        error
            .with_evidence("what was said", output)
            .with_evidence("the server's log ends", log)
    }
}
