//! Who answers when a sandbox is asked for a second connection.
//!
//! A pool's acquire waits for its turn, and in the end says no more than that it timed out. So the pool of a sandbox
//! has two places. The second one is kept by us: its connection is forever being made, to a listener of this process
//! that says nothing. When the first connection has been in use for a while without a pause, the place is given free
//! for a moment. Whoever waits gets it, connects to the same listener, and is refused in the server's own protocol
//! with a message that names the remedy. So is whoever connects with the pool's options.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgSslMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OnceCell};

use crate::error::{Error, ErrorKind, Result};

/// How long the one connection may be in use before whoever wants another is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// Once that is over, how often those are refused who came since.
const AGAIN: Duration = Duration::from_millis(500);

/// `configuration_limit_exceeded`: unlike `too_many_connections`, nobody tries again.
pub(super) const TURNED_AWAY: &str = "53400";

/// The application name that tells the listener to say nothing.
const KEEPER: &str = "ebbtide: this place is taken";

const REFUSAL: &str = "a Sandbox has one connection, which is in use, was closed or has left its transaction by a COMMIT or \
     ROLLBACK of its own, and the code under test wants another: finish the first query or transaction before the next \
     begins (hand on `&mut *tx` instead of the pool), or let the test take an `ebbtide::Database`, which has many";

/// The listener of this process.
#[derive(Debug)]
pub(super) struct Doorman {
    port: u16,
}

static DOORMAN: OnceCell<Doorman> = OnceCell::const_new();

impl Doorman {
    /// Called on the background runtime, where the listener lives.
    pub(super) async fn of_this_process() -> Result<&'static Self> {
        let listen = || async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let port = listener.local_addr()?.port();
            tokio::spawn(serve(listener));
            Ok(Self { port })
        };
        DOORMAN.get_or_try_init(listen).await.map_err(|error: io::Error| {
            Error::new(ErrorKind::Io, "no port of the loopback address can be listened on").with_source(error)
        })
    }

    /// Options that lead here, and look like those of the sandbox otherwise.
    pub(super) fn options(&self, real: &PgConnectOptions) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port);
        let options = options.ssl_mode(PgSslMode::Disable).username(real.get_username());
        match real.get_database() {
            Some(database) => options.database(database),
            None => options,
        }
    }
}

async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    if let Err(error) = answer(stream).await {
                        tracing::debug!(%error, "somebody left the door");
                    }
                });
            }
            // Out of file descriptors, usually.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let startup = startup_message(&mut stream).await?;
    if startup.windows(KEEPER.len()).any(|part| part == KEEPER.as_bytes()) {
        // Until the pool closes it.
        let _ = stream.read(&mut [0; 1]).await;
        return Ok(());
    }
    let fields = format!("SFATAL\0VFATAL\0C{TURNED_AWAY}\0M{REFUSAL}\0\0");
    let length = u32::try_from(fields.len() + 4).expect("a message of a few hundred bytes");
    let mut message = vec![b'E'];
    message.extend(length.to_be_bytes());
    message.extend(fields.as_bytes());
    stream.write_all(&message).await
}

async fn startup_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    const SSL_REQUEST: u32 = 80_877_103;
    const GSS_REQUEST: u32 = 80_877_104;
    loop {
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        if !(8..=10_000).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        let code = u32::from_be_bytes([body[0], body[1], body[2], body[3]]);
        if code != SSL_REQUEST && code != GSS_REQUEST {
            return Ok(body);
        }
        stream.write_all(b"N").await?;
    }
}

/// When the sandbox's connection was taken.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    since: Mutex<Option<Instant>>,
    taken: Notify,
}

impl Occupancy {
    pub(super) fn begin(&self) {
        *self.since() = Some(Instant::now());
        self.taken.notify_one();
    }

    pub(super) fn end(&self) {
        *self.since() = None;
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the connection has been in use for so long without a pause.
    async fn lasts(&self, limit: Duration) {
        loop {
            let since = *self.since();
            match since.map(|since| limit.saturating_sub(since.elapsed())) {
                Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
                None => self.taken.notified().await,
            }
        }
    }
}

/// How the second place was lost.
enum Loss {
    Stuck,
    /// The listener has failed.
    Refused,
    PoolClosed,
}

/// The second place of a pool.
pub(super) struct SecondPlace {
    pool: PgPool,
    silent: PgConnectOptions,
    refusing: PgConnectOptions,
    acquiring: Acquiring,
    /// Whether the connection is being made, by options that were read.
    is_connecting: bool,
}

type Acquiring = Pin<Box<dyn Future<Output = Result<sqlx::pool::PoolConnection<sqlx::Postgres>, sqlx::Error>> + Send>>;

impl SecondPlace {
    /// Takes a place of a pool that nobody uses yet. The pool's options lead to the refusal afterwards.
    pub(super) async fn take(pool: &PgPool, refusing: PgConnectOptions) -> Self {
        let silent = refusing.clone().application_name(KEEPER);
        let acquiring: Acquiring = Box::pin(pool.acquire());
        let mut place = Self { pool: pool.clone(), silent, refusing, acquiring, is_connecting: false };
        std::future::poll_fn(|waker| Poll::Ready(place.poll(waker).is_ready())).await;
        place
    }

    /// The options are read in the moment in which the permit is there, so they are silent ones only while we look, and
    /// only until then: whoever reads them meanwhile would wait forever.
    fn poll(&mut self, waker: &mut Context<'_>) -> Poll<()> {
        if self.is_connecting {
            return self.acquiring.as_mut().poll(waker).map(drop);
        }
        let connections = self.pool.size();
        self.pool.set_connect_options(self.silent.clone());
        let polled = self.acquiring.as_mut().poll(waker);
        self.pool.set_connect_options(self.refusing.clone());
        self.is_connecting = self.pool.size() > connections;
        polled.map(drop)
    }

    /// Keeps the place until the pool is closed or the task ends.
    pub(super) async fn keep(mut self, occupancy: Arc<Occupancy>) {
        let mut extra = Duration::ZERO;
        loop {
            let loss = {
                let pool = self.pool.clone();
                let mut closed = pin!(pool.close_event());
                let mut stuck = pin!(async {
                    occupancy.lasts(PATIENCE).await;
                    tokio::time::sleep(extra).await;
                });
                std::future::poll_fn(|waker| {
                    if closed.as_mut().poll(waker).is_ready() {
                        return Poll::Ready(Loss::PoolClosed);
                    }
                    if self.poll(waker).is_ready() {
                        return Poll::Ready(Loss::Refused);
                    }
                    stuck.as_mut().poll(waker).map(|()| Loss::Stuck)
                })
                .await
            };
            match loss {
                Loss::PoolClosed => return,
                Loss::Refused => tokio::time::sleep(AGAIN).await,
                // Permits are given in the order of asking: whoever waits is before us and refused, whoever comes from
                // now on is behind us and waits.
                Loss::Stuck => extra = AGAIN,
            }
            self.acquiring = Box::pin(self.pool.acquire());
            self.is_connecting = false;
        }
    }
}
