//! A connection to a server that may still be starting.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::Instant;

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For all attempts together.
    pub within: Duration,
    /// Between two attempts.
    pub pause: Duration,
}

impl Default for Patience {
    /// Half a minute, ten attempts in a second.
    fn default() -> Self {
        Self {
            within: Duration::from_secs(30),
            pause: Duration::from_millis(100),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error("{server} accepts no connections after {within:?}: {last}")]
    NoServer {
        /// Where the server should be.
        server: String,
        /// How long it was waited for.
        within: Duration,
        /// How the last attempt ended that was answered.
        last: String,
    },
    /// The server is there and does not want this connection. Waiting would not help.
    #[error("{server} refuses the connection")]
    Refused {
        /// Where the server is.
        server: String,
        /// What it said.
        source: sqlx::Error,
    },
}

/// Connects as soon as the server accepts connections. Every attempt that comes too early is told to `told`.
///
/// # Errors
/// The server does not accept connections in time, or it refuses this one for a reason that will not pass: the password,
/// or a database that is not there.
///
/// # Cancel safety
/// Nothing stays when the future is dropped.
pub async fn connect(
    options: &PgConnectOptions,
    patience: Patience,
    mut told: impl FnMut(&str),
) -> Result<PgConnection, ConnectError> {
    let deadline = Instant::now() + patience.within;
    let mut last = "it did not answer".to_owned();
    loop {
        match tokio::time::timeout_at(deadline, PgConnection::connect_with(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if is_too_early(&error) => last = error.to_string(),
            Ok(Err(source)) => {
                return Err(ConnectError::Refused {
                    server: name(options),
                    source,
                });
            }
            // The attempts before it may have been answered.
            Err(_) => {}
        }
        told(&last);
        if Instant::now() + patience.pause >= deadline {
            return Err(ConnectError::NoServer {
                server: name(options),
                within: patience.within,
                last,
            });
        }
        tokio::time::sleep(patience.pause).await;
    }
}

/// Whether the same attempt may succeed a moment later.
fn is_too_early(error: &sqlx::Error) -> bool {
    match error {
        // A container's published port accepts before the server in it does, and closes the connection again. A socket's
        // file is not there before the server is.
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::NotFound
        ),
        // How sqlx, built with TLS, takes a connection that is closed before the server has said anything.
        sqlx::Error::Protocol(told) => told.contains("response from SSLRequest: 0x00"),
        // cannot_connect_now: PostgreSQL is starting up (PostgreSQL's documentation, appendix A).
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

fn name(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(dir) => format!("PostgreSQL at {}", dir.display()),
        None => format!(
            "PostgreSQL at {}:{}",
            options.get_host(),
            options.get_port()
        ),
    }
}
