//! One background runtime, on which connections are made, because they die with the runtime that made them.

use std::io;

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle};

use crate::error::{Error, ErrorKind, Result};
use crate::scarcity::Scarcity;

static BACKGROUND: OnceCell<Handle> = OnceCell::new();

/// The runtime's handle. It lives as long as the process.
pub(super) fn background() -> Result<&'static Handle> {
    BACKGROUND.get_or_try_init(|| {
        let (sender, made) = std::sync::mpsc::channel();
        // The runtime is made by its own thread: where that cannot be had, there is no runtime to drop, which tokio forbids
        // within a test's own.
        let run = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                // The starter waits for it.
                let _ = sender.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            // As above.
            Err(error) => drop(sender.send(Err(error))),
        };
        let started = std::thread::Builder::new()
            .name("ebbtide".into())
            .spawn(run);
        started.map_err(|error| impossible("the background thread cannot be started", error))?;
        let made = made.recv().map_err(|error| {
            impossible("the background thread has ended", io::Error::other(error))
        })?;
        made.map_err(|error| impossible("the background runtime cannot be made", error))
    })
}

fn impossible(message: &str, error: io::Error) -> Error {
    let help = Scarcity::of_start(&error).map(Scarcity::help);
    let failed = Error::new(ErrorKind::Io, message).with_source(error);
    match help {
        Some(help) => failed.with_help(help),
        None => failed,
    }
}
