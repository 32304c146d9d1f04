//! The start and the end of a program: variables, log, signals and exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::str::FromStr;

use tokio::signal::unix::{SignalKind, signal};

/// A variable that is missing or invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The variable has no default and is not set.
    #[error("the environment variable {0} must be set")]
    Missing(&'static str),
    /// The variable has an invalid value.
    #[error("{name} must be {expected}, but is {value:?}")]
    Invalid {
        /// The variable's name.
        name: &'static str,
        /// The variable's value.
        value: String,
        /// A description of the valid values.
        expected: &'static str,
    },
}

/// The value of a variable, if it is set. `expected` describes the valid values.
///
/// # Errors
/// The value is invalid.
pub fn variable<T: FromStr>(
    variables: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, SettingError> {
    let Some(value) = variables(name) else {
        return Ok(None);
    };
    value.parse().map(Some).map_err(|_| SettingError::Invalid {
        name,
        value,
        expected,
    })
}

/// Reads the `.env` file of the working directory or a parent directory, if there is one. It does
/// not change variables that are already set.
///
/// # Errors
/// The file cannot be read or parsed.
pub fn read_dot_env() -> Result<(), dotenvy::Error> {
    match dotenvy::dotenv() {
        Err(error) if !error.not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Prints the program's log to stderr, from the level `info` on.
pub fn log_to_stderr() {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
}

/// A future that completes on SIGINT (Ctrl-C) or SIGTERM (the stop of a container). After the call,
/// these signals no longer end the process.
///
/// # Errors
/// The signal handlers cannot be installed.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The program's exit code. It logs an error with all its causes.
#[must_use]
pub fn exit_code(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    tracing::error!("{message}");
    ExitCode::FAILURE
}
