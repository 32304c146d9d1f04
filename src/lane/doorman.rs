//! Rejects attempts to get a second connection of a sandbox, with an error that names the remedy.
//!
//! A sandbox has one connection, so a second `acquire` must wait. If the first connection is not
//! released, sqlx would only report that `acquire` timed out. So the pool of a sandbox has two
//! slots, and a keeper task occupies the second one. The keeper's own `acquire` connects to a
//! listener of this process, and `after_connect` never returns.
//!
//! ```text
//! take --> connecting with the keeper's options ----> occupied: after_connect is pending
//!              ^                                          |
//!              |     the first connection has been in use |
//!              |     for OCCUPIED_TIMEOUT                 |
//!              |                                          v
//!              +---------- next acquire ------------- free for a moment: a waiting acquire gets
//!                                                     the slot and the listener refuses it (53400)
//!
//! The pool is closed: the keeper ends.
//! The keeper's acquire returns: it waits for RETRY_INTERVAL and acquires again.
//! ```
//!
//! The listener speaks the server's protocol. It refuses every connection but the keeper's, also
//! those of code that opens a connection with the pool's options.
//!
//! A pool has one set of connect options for all its connections. The keeper sets its own options
//! only while it polls its own `acquire`, but another task may read these options during that poll.
//! So the listener accepts every connection with these options. `after_connect` then recognises the
//! keeper by a task-local value, and makes sqlx retry any other connection with the options that
//! the pool has by then.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgSslMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OnceCell};

use crate::error::{Error, ErrorKind, Result};

/// How long the one connection may be in use before waiting calls of `acquire` are refused.
const OCCUPIED_TIMEOUT: Duration = Duration::from_secs(5);
/// After that, how often calls that have arrived since are refused. Also the pause after a failure
/// of the listener.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// `configuration_limit_exceeded`. sqlx retries a connection that fails with
/// `too_many_connections`, but not with this.
pub(super) const REFUSED_SQLSTATE: &str = "53400";

/// The application name by which the listener recognises the keeper's options.
const KEEPER_APPLICATION_NAME: &str = "ebbtide: this slot is reserved";

/// The messages `AuthenticationOk` and `ReadyForQuery`.
const LOGIN_ACCEPTED: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

const REFUSAL_MESSAGE: &str = "a Sandbox has only one connection, and it is in use, was closed, or \
     left its transaction by a COMMIT or ROLLBACK: finish the first query or transaction before \
     the next one begins (pass `&mut *tx` instead of the pool), or let the test take an \
     `ebbtide::Database`, which allows several connections";

/// The listener of this process.
#[derive(Debug)]
pub(super) struct Doorman {
    port: u16,
}

static DOORMAN: OnceCell<Doorman> = OnceCell::const_new();

tokio::task_local! {
    /// Set only in the keeper's `acquire`. The value becomes true when the keeper's connection is
    /// established. From then on, sqlx does not read the pool's options for that `acquire`.
    static OPTIONS_READ: Arc<AtomicBool>;
}

impl Doorman {
    /// Called on the background runtime, which runs the listener's task.
    pub(super) async fn of_this_process() -> Result<&'static Self> {
        DOORMAN
            .get_or_try_init(Self::listen)
            .await
            .map_err(|error: io::Error| {
                Error::new(ErrorKind::Io, "could not listen on any port of 127.0.0.1")
                    .with_source(error)
            })
    }

    async fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(serve(listener));
        Ok(Self { port })
    }

    /// Options that lead to the listener. User and database are those of the sandbox.
    pub(super) fn options(&self, real: &PgConnectOptions) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port);
        // The listener has no certificate, and a refused request for TLS would cost a round trip.
        let options = options
            .ssl_mode(PgSslMode::Disable)
            .username(real.get_username());
        match real.get_database() {
            Some(database) => options.database(database),
            None => options,
        }
    }
}

async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            // A task for each, because the keeper's connection stays open as long as its pool.
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    if let Err(error) = handle_connection(stream).await {
                        tracing::debug!(%error, "a connection to the sandbox's listener has ended");
                    }
                });
            }
            // Usually the process has no file descriptor left.
            Err(_) => tokio::time::sleep(RETRY_INTERVAL).await,
        }
    }
}

/// Accepts the login of a connection with the keeper's options, and refuses any other connection.
///
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn handle_connection(mut stream: TcpStream) -> io::Result<()> {
    let startup = startup_message(&mut stream).await?;
    if startup
        .windows(KEEPER_APPLICATION_NAME.len())
        .any(|part| part == KEEPER_APPLICATION_NAME.as_bytes())
    {
        stream.write_all(LOGIN_ACCEPTED).await?;
        // The pool holds an accepted connection without using it. A client that sends a query over
        // such a connection has not connected through the pool, and is refused below. Zero bytes:
        // the pool has closed the connection.
        if stream.read(&mut [0; 1024]).await? == 0 {
            return Ok(());
        }
    }
    // Each field ends with a zero, and so does their list
    // (https://www.postgresql.org/docs/current/protocol-error-fields.html).
    let fields = format!("SFATAL\0VFATAL\0C{REFUSED_SQLSTATE}\0M{REFUSAL_MESSAGE}\0\0");
    // A message's length counts itself, but not the type before it.
    let length = u32::try_from(fields.len() + 4).expect("a message of a few hundred bytes");
    let mut message = vec![b'E'];
    message.extend(length.to_be_bytes());
    message.extend(fields.as_bytes());
    stream.write_all(&message).await
}

/// What `after_connect` does with a connection to the listener.
pub(super) async fn hold_or_retry() -> sqlx::Error {
    // Another task has read the keeper's options. After an error, sqlx connects again with the
    // options that the pool has by then.
    let Ok(options_read) = OPTIONS_READ.try_with(Arc::clone) else {
        return sqlx::Error::Protocol(
            "this connection slot of a sandbox's pool is reserved: sqlx tries again".to_owned(),
        );
    };
    options_read.store(true, Ordering::Release);
    // The keeper's task waits here for ever, and sqlx counts the slot as used for so long.
    std::future::pending().await
}

/// Whether the current task is the keeper's.
pub(super) fn is_keeper() -> bool {
    OPTIONS_READ.try_with(|_| ()).is_ok()
}

async fn startup_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    const SSL_REQUEST: u32 = 80_877_103;
    const GSS_REQUEST: u32 = 80_877_104;
    loop {
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        // The server has the same limits (`MAX_STARTUP_PACKET_LENGTH` in its `pqcomm.h`).
        if !(8..=10_000).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        let code = u32::from_be_bytes([body[0], body[1], body[2], body[3]]);
        if code != SSL_REQUEST && code != GSS_REQUEST {
            return Ok(body);
        }
        // No encryption. The client may then send its startup message on the same connection
        // (https://www.postgresql.org/docs/current/protocol-flow.html).
        stream.write_all(b"N").await?;
    }
}

/// Since when the sandbox's connection has been in use.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    since: Mutex<Option<Instant>>,
    began: Notify,
}

impl Occupancy {
    pub(super) fn begin(&self) {
        *self.since() = Some(Instant::now());
        // If the keeper does not wait at this moment, the notification is stored for it.
        self.began.notify_one();
    }

    pub(super) fn end(&self) {
        *self.since() = None;
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the connection has been in use for `limit` without a pause.
    async fn wait_until_busy_for(&self, limit: Duration) {
        loop {
            // Read again after each wait: the connection may have been released and acquired since.
            let since = *self.since();
            match since.map(|since| limit.saturating_sub(since.elapsed())) {
                Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
                None => self.began.notified().await,
            }
        }
    }
}

/// Why the keeper gives up its slot.
enum KeepEnd {
    /// Waiting calls must be refused.
    FirstConnectionBusy,
    /// The keeper's `acquire` has returned: with an error of the listener, or with the first
    /// connection, which the keeper drops at once.
    AcquireReturned,
    PoolClosed,
}

/// The second connection slot of a sandbox's pool, as its keeper holds it.
pub(super) struct SecondSlot {
    pool: PgPool,
    keeper_options: PgConnectOptions,
    refusing_options: PgConnectOptions,
    acquiring: Acquiring,
    /// Whether the pool has read the keeper's options for the current `acquire`, so they need not
    /// be set again.
    options_read: Arc<AtomicBool>,
}

type Acquiring = Pin<
    Box<
        dyn Future<Output = Result<sqlx::pool::PoolConnection<sqlx::Postgres>, sqlx::Error>> + Send,
    >,
>;

impl SecondSlot {
    /// Occupies a slot of a pool that no other task uses yet. Afterwards the pool has the refusing
    /// options.
    pub(super) async fn take(pool: &PgPool, refusing_options: PgConnectOptions) -> Self {
        let keeper_options = refusing_options
            .clone()
            .application_name(KEEPER_APPLICATION_NAME);
        let (acquiring, options_read) = Self::acquire(pool);
        let mut slot = Self {
            pool: pool.clone(),
            keeper_options,
            refusing_options,
            acquiring,
            options_read,
        };
        // One poll is enough: sqlx increases the pool's size and reads the options before it
        // connects. So a size of one means that the slot is occupied and that the options need not
        // be set again.
        std::future::poll_fn(|waker| Poll::Ready(slot.poll(waker).is_ready())).await;
        slot.options_read.store(pool.size() == 1, Ordering::Release);
        slot
    }

    fn acquire(pool: &PgPool) -> (Acquiring, Arc<AtomicBool>) {
        let options_read = Arc::new(AtomicBool::new(false));
        (
            // sqlx calls `after_connect` while it polls this future, so the callback has the value.
            Box::pin(OPTIONS_READ.scope(Arc::clone(&options_read), pool.acquire())),
            options_read,
        )
    }

    /// Polls the keeper's `acquire`.
    fn poll(&mut self, waker: &mut Context<'_>) -> Poll<()> {
        if self.options_read.load(Ordering::Acquire) {
            return self.acquiring.as_mut().poll(waker).map(drop);
        }
        // `acquire` may wait for the slot, and the poll that gets the slot reads the options. So
        // they are set during each poll, and only then, because other tasks must be refused.
        self.pool.set_connect_options(self.keeper_options.clone());
        let polled = self.acquiring.as_mut().poll(waker);
        self.pool.set_connect_options(self.refusing_options.clone());
        polled.map(drop)
    }

    /// Occupies the slot until the pool is closed or the task is aborted.
    pub(super) async fn keep(mut self, occupancy: Arc<Occupancy>) {
        let mut extra = Duration::ZERO;
        loop {
            let end = {
                let pool = self.pool.clone();
                let mut closed = pin!(pool.close_event());
                let mut busy = pin!(async {
                    occupancy.wait_until_busy_for(OCCUPIED_TIMEOUT).await;
                    tokio::time::sleep(extra).await;
                });
                std::future::poll_fn(|waker| {
                    if closed.as_mut().poll(waker).is_ready() {
                        return Poll::Ready(KeepEnd::PoolClosed);
                    }
                    if self.poll(waker).is_ready() {
                        return Poll::Ready(KeepEnd::AcquireReturned);
                    }
                    busy.as_mut()
                        .poll(waker)
                        .map(|()| KeepEnd::FirstConnectionBusy)
                })
                .await
            };
            match end {
                KeepEnd::PoolClosed => return,
                KeepEnd::AcquireReturned => tokio::time::sleep(RETRY_INTERVAL).await,
                // Calls that arrive later wait behind the keeper. They are refused sooner, because
                // the connection has been in use for the timeout already.
                KeepEnd::FirstConnectionBusy => extra = RETRY_INTERVAL,
            }
            // This drops the old `acquire` and so frees the slot. sqlx gives slots in the order of
            // the calls. So a call that waits already gets the slot before the keeper, and is
            // refused.
            (self.acquiring, self.options_read) = Self::acquire(&self.pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;
    use sqlx::postgres::{PgConnection, PgPoolOptions};

    use super::*;
    use crate::sql_error;

    async fn options() -> (PgConnectOptions, PgConnectOptions) {
        // A listener of this test, which ends with its runtime.
        let doorman = Doorman::listen().await.expect("a listener");
        let refusing = doorman.options(&PgConnectOptions::new_without_pgpass().username("app"));
        (
            refusing.clone().application_name(KEEPER_APPLICATION_NAME),
            refusing,
        )
    }

    #[tokio::test]
    async fn a_task_that_acquires_with_the_keepers_options_is_refused() {
        let (keeper_options, refusing) = options().await;
        let connected = Arc::new(Notify::new());
        let connected_sender = Arc::clone(&connected);
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_hours(1));
        let pool = pool
            .after_connect(move |_, _| {
                connected_sender.notify_one();
                Box::pin(async { Err(hold_or_retry().await) })
            })
            .connect_lazy_with(refusing.clone());
        let slot = SecondSlot::take(&pool, refusing.clone()).await;
        let keeping = tokio::spawn(slot.keep(Arc::default()));
        connected.notified().await;

        pool.set_connect_options(keeper_options);
        let other_task = tokio::spawn({
            let pool = pool.clone();
            async move { pool.acquire().await.map(drop) }
        });
        connected.notified().await;
        pool.set_connect_options(refusing);
        let refused = other_task
            .await
            .expect("no panic")
            .expect_err("the slot is reserved");
        assert_eq!(sql_error::code(&refused), Some(REFUSED_SQLSTATE));
        assert_eq!((keeping.is_finished(), pool.size()), (false, 1));
        pool.close().await;
        keeping.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_client_with_the_keepers_options_is_refused_at_its_first_query() {
        let (keeper_options, _) = options().await;
        let mut connection = PgConnection::connect_with(&keeper_options)
            .await
            .expect("the listener accepts it");
        let refused = sqlx::raw_sql("select 1")
            .execute(&mut connection)
            .await
            .expect_err("the listener refuses it");
        assert_eq!(sql_error::code(&refused), Some(REFUSED_SQLSTATE));
    }
}
