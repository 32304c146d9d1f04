//! How a program begins and ends.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::str::FromStr;

use tokio::signal::unix::{SignalKind, signal};

/// A variable that is missing or not legal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// It has no default.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// It means nothing.
    #[error("{name}={value:?} is not {wanted}")]
    Illegal {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it could say.
        wanted: &'static str,
    },
}

/// What a variable says, if it is set. `wanted` describes its legal values.
///
/// # Errors
/// It is not legal.
pub fn variable<T: FromStr>(
    variables: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    wanted: &'static str,
) -> Result<Option<T>, SettingError> {
    let Some(value) = variables(name) else {
        return Ok(None);
    };
    value.parse().map(Some).map_err(|_| SettingError::Illegal {
        name,
        value,
        wanted,
    })
}

/// Reads a `.env` file of the working directory or one above it, if there is one. What is set already stays.
///
/// # Errors
/// The file cannot be read or understood.
pub fn read_dot_env() -> Result<(), dotenvy::Error> {
    match dotenvy::dotenv() {
        Err(error) if !error.not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Shows what the program tells, from the level `info` on.
pub fn log_to_stderr() {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
}

/// Comes when the program is asked to end, by Ctrl-C or as a container is stopped. From the call on, neither ends it by
/// itself.
///
/// # Errors
/// The signals cannot be caught.
///
/// # Panics
/// Outside of tokio's runtime.
pub fn interruption() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// How a program ends: an error goes to the log, with what caused it.
#[must_use]
pub fn exit_code(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    tracing::error!("{said}");
    ExitCode::FAILURE
}
