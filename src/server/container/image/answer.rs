//! How long ebbtide waits for the engine's answers about images.

use std::future::Future;
use std::time::Duration;

use testcontainers::bollard::errors::Error as EngineError;

use crate::error::{Error, ErrorKind, Result};

/// How long the engine may be silent. It gives up on an unreachable registry in less than 30 s.
const ENGINE_SILENCE_TIMEOUT: Duration = Duration::from_mins(1);

/// What the engine answers.
pub(super) type Answer<T> = std::result::Result<T, EngineError>;

/// Awaits one answer of the engine, for [`ENGINE_SILENCE_TIMEOUT`].
pub(super) async fn within<T>(
    step: &str,
    work: impl Future<Output = T>,
    seen: impl Fn() -> String,
) -> Result<T> {
    // bollard's own timeout would not do: it ends when the answer begins, and a pull has one answer
    // with many events.
    tokio::time::timeout(ENGINE_SILENCE_TIMEOUT, work)
        .await
        .map_err(|_| {
            let message = format!(
                "{step}: the engine sent nothing for {ENGINE_SILENCE_TIMEOUT:?} ({})",
                seen()
            );
            Error::new(ErrorKind::Timeout, message).with_help(
                "check whether the engine and its network work, or set EBBTIDE_BACKEND=native",
            )
        })
}
