//! Adds a savepoint to each statement of a test's transaction.
//!
//! sqlx has no hook that runs before each statement. So the driver connects to a socket of this
//! process, and a task, the relay, forwards the messages between driver and server. It adds the
//! messages for the savepoints.
//!
//! ```text
//!  sqlx <--- socket ---> relay_messages <--- TCP or Unix socket ---> server
//!                             |
//!                        Conversation: one message in, messages to both sides out
//!
//!  connecting --> relaying --> ended, when one side closes its connection
//! ```
//!
//! | file | noun |
//! |---|---|
//! | `socket` | the socket to which the driver connects |
//! | `wire` | messages on a connection |
//! | `conversation` | the messages of both sides, and those that the relay adds |
//! | `client_sql`, `savepoints` | what statements do to the transaction |

mod client_sql;
mod conversation;
mod savepoints;
mod socket;
mod wire;

use std::io;
use std::task::Poll;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::in_use::LaneInUse;
use super::login::Login;
use super::prepare;
use crate::error::{Error, ErrorKind, Result};
use crate::{conn, sql_error};
use conversation::{Conversation, Outbox};
use socket::RelaySocket;
use wire::Wire;

impl LaneInUse {
    /// Replaces the lane's connection by one that goes through a relay.
    ///
    /// If the lane's database is missing, the lane is copied and the connection tried once more.
    pub(super) async fn relayed(mut self) -> Result<(Self, PgConnection)> {
        let lanes = self.lanes.clone();
        // The relay and the connection must outlive the test's runtime.
        let connecting = async move {
            // The test has one permit, so the lane's own connection makes room for the relay's.
            self.lane.connection = None;
            let connection = match self.connect_through_relay().await {
                // A lane marked `Equal` may not have been connected to before. Another client may
                // have dropped its database.
                Err(ConnectError::Server(error)) if prepare::is_database_missing(&error) => {
                    self.restore_missing().await?;
                    self.connect_through_relay().await
                }
                other => other,
            };
            let connection = connection.map_err(|error| match error {
                ConnectError::Server(error) => self.lanes.diagnose("connecting to a lane", error),
                ConnectError::Unsupported(error) => error,
            })?;
            // The new session began with these names, so the opening message need not set them.
            self.test.clone_into(&mut self.lane.session_name);
            self.lane.session_database = self.lane.database.clone();
            Ok((self, connection))
        };
        lanes.in_background(connecting).await
    }

    async fn connect_through_relay(&self) -> Result<PgConnection, ConnectError> {
        let real = self
            .lanes
            .guarded_options(&self.lane.database, &self.test, Login::Test);
        if matches!(
            real.get_ssl_mode(),
            PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull
        ) {
            return Err(ConnectError::Unsupported(encryption_error()));
        }
        let may_encrypt = !matches!(real.get_ssl_mode(), PgSslMode::Disable);
        conn::retry_too_many_connections(|| connect(&real))
            .await
            .map_err(|error| match sql_error::code(&error) {
                // The relay connects without encryption. Other connections of ebbtide have been
                // accepted, so the server rejects this one (invalid_authorization_specification)
                // because it is not encrypted.
                Some("28000") if may_encrypt => {
                    ConnectError::Unsupported(encryption_error().with_source(error))
                }
                _ => ConnectError::Server(error),
            })
    }
}

/// Why a relayed connection could not be opened.
enum ConnectError {
    Server(sqlx::Error),
    /// The server's URL requires what a relay cannot do.
    Unsupported(Error),
}

fn encryption_error() -> Error {
    Error::new(
        ErrorKind::Config,
        "a `Tx` with `savepoints` cannot have an encrypted connection to the server",
    )
    .with_help(
        "use sslmode=disable in the server's URL where the server allows it, or let the test take \
         an `ebbtide::Sandbox`, in which a failed statement undoes only itself as well",
    )
}

/// Connects through a new relay. The relay ends when the connection is closed.
async fn connect(real: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    // The server comes first: if it cannot be reached, the caller receives the server's error, and
    // not the relay's.
    let server = connect_to_server(real).await?;
    let socket = RelaySocket::open()?;
    let options = socket.options(real);
    let relay = tokio::spawn(async move {
        if let Err(error) = relay_messages(socket, server).await {
            tracing::debug!(%error, "a relayed connection has ended");
        }
    });
    let connected = PgConnection::connect_with(&options).await;
    // A driver that fails before it connects would leave the relay waiting for ever. `relayed` runs
    // this in a background task, so it is not cancelled here.
    if connected.is_err() {
        relay.abort();
    }
    connected
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the server as the driver would: to a Unix socket if the host is a directory,
/// otherwise by TCP.
async fn connect_to_server(real: &PgConnectOptions) -> io::Result<Box<dyn Stream>> {
    let (host, port) = (real.get_host(), real.get_port());
    let dir = match real.get_socket() {
        Some(dir) => Some(dir.display().to_string()),
        None => host.starts_with('/').then(|| host.to_owned()),
    };
    if let Some(dir) = dir {
        return Ok(Box::new(
            UnixStream::connect(format!("{dir}/.s.PGSQL.{port}")).await?,
        ));
    }
    let stream = TcpStream::connect((host, port)).await?;
    // Otherwise Nagle's algorithm may hold back a small message until the server has acknowledged
    // the one before it.
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Forwards messages until one of the two sides closes its connection.
async fn relay_messages(socket: RelaySocket, server: Box<dyn Stream>) -> io::Result<()> {
    let mut client = Wire::new(socket.accept().await?);
    let mut server = Wire::new(server);
    let mut out = Outbox {
        to_server: client.startup_message().await?,
        ..Outbox::default()
    };
    let mut conversation = Conversation::new();
    loop {
        // Messages of the server are processed first: they may complete the pending replies, and
        // only then may the client's next batch be processed.
        while let Some(message) = server.next()? {
            conversation.on_server_message(message, &mut out);
        }
        while conversation.accepts_client_message()
            && let Some(message) = client.next()?
        {
            conversation.on_client_message(message, &mut out);
        }
        server.send(&mut out.to_server).await?;
        client.send(&mut out.to_client).await?;
        if receive(
            &mut client,
            &mut server,
            conversation.accepts_client_message(),
        )
        .await?
            == Received::EndOfStream
        {
            return Ok(());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Bytes,
    EndOfStream,
}

/// Waits for bytes from either side. While the conversation accepts no message from the client, the
/// client's bytes stay in the socket. So a client that sends too much has to wait.
async fn receive(
    client: &mut Wire<UnixStream>,
    server: &mut Wire<Box<dyn Stream>>,
    accepts_client_message: bool,
) -> io::Result<Received> {
    std::future::poll_fn(|waker| {
        // While replies are pending, the end of the client is not noticed. The server finishes the
        // statement, and then sending the reply fails.
        let from_client = if accepts_client_message {
            client.poll_receive(waker)?
        } else {
            Poll::Pending
        };
        match (from_client, server.poll_receive(waker)?) {
            (Poll::Ready(0), _) | (_, Poll::Ready(0)) => Poll::Ready(Ok(Received::EndOfStream)),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (Poll::Ready(_), _) | (_, Poll::Ready(_)) => Poll::Ready(Ok(Received::Bytes)),
        }
    })
    .await
}
