//! Who answers when a sandbox is asked for a second connection.
//!
//! A pool's acquire waits for its turn, and in the end says no more than that it timed out. So the pool of a sandbox
//! has two places. The second one is kept by us: its connection, to a listener of this process, is forever being
//! prepared. When the first connection has been in use for a while without a pause, the place is given free for a
//! moment. Whoever waits gets it, connects to the same listener, and is refused in the server's own protocol with a
//! message that names the remedy. So is whoever connects with the pool's options.
//!
//! A pool has one set of options for all. They are ours for moments, and somebody else may read them in one: so the
//! listener lets whoever comes by ours in, and the pool's own callback knows by its task whom it has there.

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

/// How long the one connection may be in use before whoever wants another is refused.
const OCCUPIED_TIMEOUT: Duration = Duration::from_secs(5);
/// Once that is over, how often those are refused who came since.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// `configuration_limit_exceeded`: unlike `too_many_connections`, nobody tries again.
pub(super) const REFUSED_SQLSTATE: &str = "53400";

/// The application name that tells the listener to let somebody in.
const KEEPER: &str = "ebbtide: this place is taken";

/// `AuthenticationOk` and `ReadyForQuery`.
const LET_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

const REFUSAL: &str = "a Sandbox has one connection, which is in use, was closed or has left its transaction by a COMMIT or \
     ROLLBACK of its own, and the code under test wants another: finish the first query or transaction before the next \
     begins (hand on `&mut *tx` instead of the pool), or let the test take an `ebbtide::Database`, which has many";

/// The listener of this process.
#[derive(Debug)]
pub(super) struct Doorman {
    port: u16,
}

static DOORMAN: OnceCell<Doorman> = OnceCell::const_new();

tokio::task_local! {
    /// Where the second place is being taken: whether it is by now.
    static ADMISSION: Arc<AtomicBool>;
}

impl Doorman {
    /// Called on the background runtime, where the listener lives.
    pub(super) async fn of_this_process() -> Result<&'static Self> {
        DOORMAN
            .get_or_try_init(Self::listen)
            .await
            .map_err(|error: io::Error| {
                Error::new(
                    ErrorKind::Io,
                    "no port of the loopback address can be listened on",
                )
                .with_source(error)
            })
    }

    async fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(serve(listener));
        Ok(Self { port })
    }

    /// Options that lead here, and look like those of the sandbox otherwise.
    pub(super) fn options(&self, real: &PgConnectOptions) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port);
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
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    if let Err(error) = answer(stream).await {
                        tracing::debug!(%error, "somebody left the door");
                    }
                });
            }
            // Out of file descriptors, usually.
            Err(_) => tokio::time::sleep(RETRY_INTERVAL).await,
        }
    }
}

/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let startup = startup_message(&mut stream).await?;
    if startup
        .windows(KEEPER.len())
        .any(|part| part == KEEPER.as_bytes())
    {
        stream.write_all(LET_IN).await?;
        // Until the pool closes it. Whoever asks for something has not come through the pool.
        if stream.read(&mut [0; 1024]).await? == 0 {
            return Ok(());
        }
    }
    let fields = format!("SFATAL\0VFATAL\0C{REFUSED_SQLSTATE}\0M{REFUSAL}\0\0");
    let length = u32::try_from(fields.len() + 4).expect("a message of a few hundred bytes");
    let mut message = vec![b'E'];
    message.extend(length.to_be_bytes());
    message.extend(fields.as_bytes());
    stream.write_all(&message).await
}

/// What the pool does with a connection to the listener: with the one for the second place, it waits for as long as
/// the place is kept. Anybody else has read our options, and the pool tries again with what they are then.
pub(super) async fn receive() -> sqlx::Error {
    let Ok(taken) = ADMISSION.try_with(Arc::clone) else {
        return sqlx::Error::Protocol(
            "this place of a sandbox's pool is kept: trying again".to_owned(),
        );
    };
    taken.store(true, Ordering::Release);
    std::future::pending().await
}

/// Whether this task takes the second place.
pub(super) fn is_keeper() -> bool {
    ADMISSION.try_with(|_| ()).is_ok()
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
    ours: PgConnectOptions,
    refusing: PgConnectOptions,
    acquiring: Acquiring,
    /// Whether our options are not needed any more.
    taken: Arc<AtomicBool>,
}

type Acquiring = Pin<
    Box<
        dyn Future<Output = Result<sqlx::pool::PoolConnection<sqlx::Postgres>, sqlx::Error>> + Send,
    >,
>;

impl SecondPlace {
    /// Takes a place of a pool that nobody uses yet. The pool's options lead to the refusal afterwards.
    pub(super) async fn take(pool: &PgPool, refusing: PgConnectOptions) -> Self {
        let ours = refusing.clone().application_name(KEEPER);
        let (acquiring, taken) = Self::acquire(pool);
        let mut place = Self {
            pool: pool.clone(),
            ours,
            refusing,
            acquiring,
            taken,
        };
        std::future::poll_fn(|waker| Poll::Ready(place.poll(waker).is_ready())).await;
        // Nobody else could have it, and what leads there has been read: the options need not change again.
        place.taken.store(pool.size() == 1, Ordering::Release);
        place
    }

    fn acquire(pool: &PgPool) -> (Acquiring, Arc<AtomicBool>) {
        let taken = Arc::new(AtomicBool::new(false));
        (
            Box::pin(ADMISSION.scope(Arc::clone(&taken), pool.acquire())),
            taken,
        )
    }

    fn poll(&mut self, waker: &mut Context<'_>) -> Poll<()> {
        if self.taken.load(Ordering::Acquire) {
            return self.acquiring.as_mut().poll(waker).map(drop);
        }
        self.pool.set_connect_options(self.ours.clone());
        let polled = self.acquiring.as_mut().poll(waker);
        self.pool.set_connect_options(self.refusing.clone());
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
                    occupancy.lasts(OCCUPIED_TIMEOUT).await;
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
                Loss::Refused => tokio::time::sleep(RETRY_INTERVAL).await,
                // Permits are given in the order of asking: whoever waits is before us and refused, whoever comes from
                // now on is behind us and waits.
                Loss::Stuck => extra = RETRY_INTERVAL,
            }
            (self.acquiring, self.taken) = Self::acquire(&self.pool);
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
        // One of this test's, which goes with its runtime.
        let doorman = Doorman::listen().await.expect("a listener");
        let refusing =
            doorman.options(&PgConnectOptions::new_without_pgpass().username("somebody"));
        (refusing.clone().application_name(KEEPER), refusing)
    }

    #[tokio::test]
    async fn whoever_reads_the_keepers_options_is_refused_all_the_same() {
        let (ours, refusing) = options().await;
        let came = Arc::new(Notify::new());
        let coming = Arc::clone(&came);
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_hours(1));
        let pool = pool
            .after_connect(move |_, _| {
                coming.notify_one();
                Box::pin(async { Err(receive().await) })
            })
            .connect_lazy_with(refusing.clone());
        let place = SecondPlace::take(&pool, refusing.clone()).await;
        let keeping = tokio::spawn(place.keep(Arc::default()));
        came.notified().await;

        pool.set_connect_options(ours);
        let stranger = tokio::spawn({
            let pool = pool.clone();
            async move { pool.acquire().await.map(drop) }
        });
        came.notified().await;
        pool.set_connect_options(refusing);
        let refused = stranger
            .await
            .expect("no panic")
            .expect_err("the place is taken");
        assert_eq!(sql_error::code(&refused), Some(REFUSED_SQLSTATE));
        assert_eq!((keeping.is_finished(), pool.size()), (false, 1));
        pool.close().await;
        keeping.await.expect("no panic");
    }

    #[tokio::test]
    async fn whoever_connects_with_the_keepers_options_is_refused_when_it_asks_for_something() {
        let (ours, _) = options().await;
        let mut connection = PgConnection::connect_with(&ours)
            .await
            .expect("it is let in");
        let refused = sqlx::raw_sql("select 1")
            .execute(&mut connection)
            .await
            .expect_err("it is refused");
        assert_eq!(sql_error::code(&refused), Some(REFUSED_SQLSTATE));
    }
}
