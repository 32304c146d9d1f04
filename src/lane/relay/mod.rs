//! A savepoint for each statement of a test's transaction.
//!
//! The driver's connection cannot be asked to send more than it is told to. So it does not lead to the server, but to
//! this process, where a task passes its messages on and adds some of its own.
//!
//! | file | noun |
//! |---|---|
//! | `door` | where the driver meets the relay |
//! | `wire` | messages on a connection |
//! | `conversation` | what the two sides say, and what the relay adds |
//! | `script`, `savepoints` | what statements do to the transaction |

mod conversation;
mod door;
mod savepoints;
mod script;
mod wire;

use std::io;
use std::task::Poll;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::leased::Lane;
use super::pool::LanePool;
use super::prepare;
use crate::error::{Error, ErrorKind, Result};
use crate::names::DatabaseName;
use crate::{conn, sql_error};
use conversation::{Conversation, Outbox};
use door::Door;
use wire::Wire;

impl LanePool {
    /// A connection to the lane that goes through a relay, instead of the lane's own.
    pub(super) async fn relayed(&self, mut lane: Lane, test: &str) -> Result<(Lane, PgConnection)> {
        let (pool, test) = (self.clone(), test.to_owned());
        // The relay lives on the background runtime, and so must the connection.
        let connecting = async move {
            lane.connection = None;
            let connection = match pool.connect_through(&lane.database, &test).await {
                Err(Refused::ByServer(error)) if prepare::is_missing(&error) => {
                    pool.restore_missing(&mut lane, &test).await?;
                    pool.connect_through(&lane.database, &test).await
                }
                other => other,
            };
            let connection = connection.map_err(|refused| match refused {
                Refused::ByServer(error) => pool.diagnose("connecting to a lane", error),
                Refused::ByUs(error) => error,
            })?;
            lane.session_name = test;
            lane.session_database = lane.database.clone();
            Ok((lane, connection))
        };
        self.in_background(connecting).await
    }

    async fn connect_through(
        &self,
        database: &DatabaseName,
        test: &str,
    ) -> Result<PgConnection, Refused> {
        let real = self.guarded_options(database, test);
        if matches!(
            real.get_ssl_mode(),
            PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull
        ) {
            return Err(Refused::ByUs(encrypted()));
        }
        let may_encrypt = !matches!(real.get_ssl_mode(), PgSslMode::Disable);
        conn::patiently(|| connect(&real))
            .await
            .map_err(|error| match sql_error::code(&error) {
                // The server has let us in before, so it is the encryption that it misses.
                Some("28000") if may_encrypt => Refused::ByUs(encrypted().with_source(error)),
                _ => Refused::ByServer(error),
            })
    }
}

/// Why there is no connection.
enum Refused {
    ByServer(sqlx::Error),
    ByUs(Error),
}

fn encrypted() -> Error {
    Error::new(ErrorKind::Config, "a `Tx` with `savepoints` cannot have an encrypted connection to the server").with_help(
        "use sslmode=disable in the server's URL where the server allows it, or let the test take an `ebbtide::Sandbox`, \
         whose statements undo only themselves as well",
    )
}

/// Connects through a relay, which ends with the connection.
async fn connect(real: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let server = dial(real).await?;
    let door = Door::open()?;
    let options = door.options(real);
    let relay = tokio::spawn(async move {
        if let Err(error) = pass_on(door, server).await {
            tracing::debug!(%error, "a relayed connection has ended");
        }
    });
    let connected = PgConnection::connect_with(&options).await;
    if connected.is_err() {
        relay.abort();
    }
    connected
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Reaches the server as the driver would.
async fn dial(real: &PgConnectOptions) -> io::Result<Box<dyn Stream>> {
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
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Passes messages on until one of the two sides is gone.
async fn pass_on(door: Door, server: Box<dyn Stream>) -> io::Result<()> {
    let mut client = Wire::new(door.admit().await?);
    let mut server = Wire::new(server);
    let mut out = Outbox {
        to_server: client.start_up().await?,
        ..Outbox::default()
    };
    let mut conversation = Conversation::new();
    loop {
        while let Some(message) = server.next()? {
            conversation.hear_server(message, &mut out);
        }
        while conversation.hears_client()
            && let Some(message) = client.next()?
        {
            conversation.hear_client(message, &mut out);
        }
        server.send(&mut out.to_server).await?;
        client.send(&mut out.to_client).await?;
        if receive(&mut client, &mut server, conversation.hears_client()).await? == Received::End {
            return Ok(());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Something,
    End,
}

/// Waits for either side. A client that is not heard may wait, too.
async fn receive(
    client: &mut Wire<UnixStream>,
    server: &mut Wire<Box<dyn Stream>>,
    hears_client: bool,
) -> io::Result<Received> {
    std::future::poll_fn(|waker| {
        let from_client = if hears_client {
            client.poll_receive(waker)?
        } else {
            Poll::Pending
        };
        match (from_client, server.poll_receive(waker)?) {
            (Poll::Ready(0), _) | (_, Poll::Ready(0)) => Poll::Ready(Ok(Received::End)),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (Poll::Ready(_), _) | (_, Poll::Ready(_)) => Poll::Ready(Ok(Received::Something)),
        }
    })
    .await
}
