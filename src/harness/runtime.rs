//! The background runtime, on which ebbtide opens its connections.
//!
//! A socket of tokio's belongs to the runtime that opened it, and fails once that runtime is
//! dropped. Every `#[tokio::test]` has a runtime of its own. So a connection that stays for the
//! next test must come from a runtime that lives as long as the process.

use std::io;

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle};

use crate::error::{Error, ErrorKind, Result};
use crate::scarcity::Scarcity;

static BACKGROUND: OnceCell<Handle> = OnceCell::new();

/// The handle of the background runtime, which lives as long as the process.
pub(super) fn background() -> Result<&'static Handle> {
    BACKGROUND.get_or_try_init(|| {
        let (sender, made) = std::sync::mpsc::channel();
        // The new thread builds the runtime, not the caller. If the thread cannot be started, there
        // is no runtime to drop here. tokio panics when a runtime is dropped inside another one,
        // such as the test's own.
        let run = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                // The receiver below waits for the handle, so it is alive.
                let _ = sender.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            // As above.
            Err(error) => drop(sender.send(Err(error))),
        };
        let started = std::thread::Builder::new()
            .name("ebbtide".into())
            .spawn(run);
        started.map_err(|error| start_error("could not start the background thread", error))?;
        let made = made.recv().map_err(|error| {
            start_error("the background thread has ended", io::Error::other(error))
        })?;
        made.map_err(|error| start_error("could not start the background runtime", error))
    })
}

fn start_error(message: &str, error: io::Error) -> Error {
    let help = Scarcity::of_start(&error).map(Scarcity::help);
    let failed = Error::new(ErrorKind::Io, message).with_source(error);
    match help {
        Some(help) => failed.with_help(help),
        None => failed,
    }
}

/// The error for a task of the background runtime that panicked or was aborted.
pub(super) fn task_failed<T>(error: tokio::task::JoinError) -> Result<T> {
    Err(Error::new(ErrorKind::Io, "the background task ended early").with_source(error))
}
