//! The error for a file whose statements did not finish within `provision.timeout`.

use std::time::Duration;

use super::sql_script::Script;
use crate::error::{Error, ErrorKind};

const HELP: &str = "raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for a lock that \
     the statement waits for";

/// The statement that was cancelled.
pub(super) struct CancelledStatement<'a> {
    pub(super) script: &'a Script,
    /// The byte of the script at which it starts.
    pub(super) offset: usize,
    pub(super) waited_for: String,
}

/// `step` names the step, like `migration 3 (add users)`. `file` names its file, which the error
/// shows if the statement is unknown.
pub(super) fn timed_out(
    step: &str,
    file: &str,
    timeout: Duration,
    statement: Option<CancelledStatement<'_>>,
) -> Error {
    let not_done = format!("{step} did not finish within {timeout:?}");
    let error = match statement {
        Some(CancelledStatement {
            script,
            offset,
            waited_for,
        }) => {
            let message = format!("{not_done}: {}", script.place(offset));
            Error::new(ErrorKind::Timeout, message)
                .with_evidence("the statement", script.excerpt(offset))
                .with_evidence("it waited for", waited_for)
        }
        None => Error::new(ErrorKind::Timeout, format!("{not_done} ({file})")),
    };
    error.with_help(HELP)
}
