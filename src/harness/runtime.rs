//! One background runtime, on which connections are made, because they die with the runtime that made them.

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle};

use crate::error::{Error, ErrorKind, Result};

static BACKGROUND: OnceCell<Handle> = OnceCell::new();

/// The runtime's handle. It lives as long as the process.
pub(super) fn background() -> Result<&'static Handle> {
    BACKGROUND.get_or_try_init(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::Io, "the background runtime cannot be made").with_source(error))?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("ebbtide".into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .map_err(|error| Error::new(ErrorKind::Io, "the background thread cannot be started").with_source(error))?;
        Ok(handle)
    })
}
