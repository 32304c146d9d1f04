//! A connection to a server that may still be starting up.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::Instant;

/// How long to retry a connection, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The limit for all attempts together.
    pub timeout: Duration,
    /// The time between two attempts.
    pub interval: Duration,
}

impl Default for RetryPolicy {
    /// 30 seconds, with ten attempts per second.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            interval: Duration::from_millis(100),
        }
    }
}

/// Why the connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server accepted the connection in time.
    #[error(
        "{server} must accept connections within {timeout:?}, but the last attempt failed: {last}"
    )]
    NotReachable {
        /// The server's address.
        server: String,
        /// The limit for all attempts together.
        timeout: Duration,
        /// The error of the last attempt that did not time out.
        last: String,
    },
    /// The server rejected the connection for a reason that a retry does not change.
    #[error("{server} rejected the connection")]
    Rejected {
        /// The server's address.
        server: String,
        /// The server's error.
        source: sqlx::Error,
    },
}

/// Connects as soon as the server accepts connections. After every failed attempt it calls
/// `on_retry` with the error.
///
/// # Errors
/// The server does not accept connections in time. Or it rejects this one for a permanent reason,
/// such as a wrong password or a database that does not exist.
///
/// # Cancel safety
/// A dropped future leaves no connection open.
pub async fn connect(
    options: &PgConnectOptions,
    retry: RetryPolicy,
    mut on_retry: impl FnMut(&str),
) -> Result<PgConnection, ConnectError> {
    let deadline = Instant::now() + retry.timeout;
    let mut last = "timed out".to_owned();
    loop {
        match tokio::time::timeout_at(deadline, PgConnection::connect_with(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if is_transient(&error) => last = error.to_string(),
            Ok(Err(source)) => {
                return Err(ConnectError::Rejected {
                    server: server_name(options),
                    source,
                });
            }
            // Keeps the error of an earlier attempt, which has more information than a timeout.
            Err(_) => {}
        }
        on_retry(&last);
        if Instant::now() + retry.interval >= deadline {
            return Err(ConnectError::NotReachable {
                server: server_name(options),
                timeout: retry.timeout,
                last,
            });
        }
        tokio::time::sleep(retry.interval).await;
    }
}

/// Whether a retry may succeed.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        // A container's published port accepts a connection before the server in the container
        // does, and closes it. A Unix socket does not exist until the server creates it.
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::NotFound
        ),
        // sqlx with TLS reports this if the connection is closed before the server's first byte.
        sqlx::Error::Protocol(message) => message.contains("response from SSLRequest: 0x00"),
        // cannot_connect_now, while PostgreSQL starts up
        // (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

fn server_name(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(dir) => format!("PostgreSQL at {}", dir.display()),
        None => format!(
            "PostgreSQL at {}:{}",
            options.get_host(),
            options.get_port()
        ),
    }
}
