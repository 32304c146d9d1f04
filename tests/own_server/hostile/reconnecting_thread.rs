//! A thread that outlives the test that started it. It connects with the test's URL again and
//! again, listens for notifications, and writes.
//!
//! Such a thread is a common mistake: a background worker that the application under test never
//! stops. Once its test has ended, the thread must reach no later test through the old URL.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::current_thread_runtime;
use crate::support::wait::HANG_LIMIT;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener};

use crate::hostile::body::execute;
use crate::hostile::view::lazy_pool;

/// How long one round listens. A notification that misses this round can arrive in a later one.
const LISTEN_TIMEOUT: Duration = Duration::from_millis(20);
const WRITE: &str = "begin read write; insert into notes values (-1, 'written late'); commit";

/// The running thread. Dropping this value stops the thread and joins it.
#[derive(Debug)]
pub(crate) struct ReconnectingThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: AtomicBool,
    rounds: AtomicUsize,
    received: Mutex<Vec<String>>,
}

impl ReconnectingThread {
    /// Starts the thread while the test still runs. Returns after a whole round, in which the
    /// thread has connected to the database or was refused.
    pub(crate) fn start(options: PgConnectOptions) -> Self {
        let shared = Arc::<Shared>::default();
        let thread_shared = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = current_thread_runtime();
            runtime.block_on(async {
                while !thread_shared.is_stopped.load(Ordering::Acquire) {
                    run_round(&thread_shared, &options).await;
                    thread_shared.rounds.fetch_add(1, Ordering::AcqRel);
                }
            });
        });
        let thread = Self {
            shared,
            thread: Some(thread),
        };
        thread.wait_for_round();
        thread
    }

    /// Waits until a round has started and ended after this call. The counter must rise by two,
    /// because the round that is running now may have started before.
    pub(crate) fn wait_for_round(&self) {
        let rounds = self.shared.rounds.load(Ordering::Acquire);
        let deadline = Instant::now() + HANG_LIMIT;
        while self.shared.rounds.load(Ordering::Acquire) < rounds + 2 {
            assert!(
                Instant::now() < deadline,
                "the thread has completed no round within {HANG_LIMIT:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The notifications that arrived since the last call.
    pub(crate) fn take_received(&self) -> Vec<String> {
        std::mem::take(
            &mut *self
                .shared
                .received
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Drop for ReconnectingThread {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // The thread prints its own panic.
            let _ = thread.join();
        }
    }
}

/// Connects twice with the test's URL: to write, and to listen.
///
/// Every step may fail. After the test, ebbtide refuses the URL, and then the round does nothing.
async fn run_round(shared: &Shared, options: &PgConnectOptions) {
    let Ok(mut connection) = PgConnection::connect_with(options).await else {
        return;
    };
    // Whether the server accepts the write depends on the test's kind: an error is no failure here.
    let _ = execute(&mut connection, WRITE).await;
    let _ = connection.close().await;
    let pool = lazy_pool(options.clone());
    if let Ok(mut listener) = PgListener::connect_with(&pool).await
        && listener.listen("tides").await.is_ok()
        && let Ok(Ok(Some(notification))) =
            tokio::time::timeout(LISTEN_TIMEOUT, listener.try_recv()).await
    {
        let payload = notification.payload().to_owned();
        shared
            .received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(payload);
    }
    pool.close().await;
}
