//! A thread of a test's that goes on: it connects with the test's URL again and again, listens, and writes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener};

use crate::body::run;
use crate::view::lazily;

/// How long one round listens: a notification that is on its way comes within it, or in a later round.
const LISTENING: Duration = Duration::from_millis(20);
const WRITE: &str = "begin read write; insert into notes values (-1, 'written late'); commit";

/// The thread, and what came of its rounds.
#[derive(Debug)]
pub(crate) struct Haunt {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    rounds: AtomicUsize,
    received: Mutex<Vec<String>>,
}

impl Haunt {
    /// Begins while the test runs, and returns when it has been on the database once or was refused.
    pub(crate) fn begin(options: PgConnectOptions) -> Self {
        let shared = Arc::<Shared>::default();
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                while !its.is_over.load(Ordering::Acquire) {
                    round(&its, &options).await;
                    its.rounds.fetch_add(1, Ordering::AcqRel);
                }
            });
        });
        let haunt = Self {
            shared,
            thread: Some(thread),
        };
        haunt.wait();
        haunt
    }

    /// Waits until it has begun and ended a round.
    pub(crate) fn wait(&self) {
        let rounds = self.shared.rounds.load(Ordering::Acquire);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.shared.rounds.load(Ordering::Acquire) < rounds + 2 {
            assert!(Instant::now() < deadline, "the thread stands still");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has received since the last time.
    pub(crate) fn received(&self) -> Vec<String> {
        std::mem::take(
            &mut *self
                .shared
                .received
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Drop for Haunt {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Its panic is printed.
            let _ = thread.join();
        }
    }
}

/// A stale URL leads nowhere: each of these may fail.
async fn round(shared: &Shared, options: &PgConnectOptions) {
    let Ok(mut connection) = PgConnection::connect_with(options).await else {
        return;
    };
    // Not allowed everywhere.
    let _ = run(&mut connection, WRITE).await;
    let _ = connection.close().await;
    let pool = lazily(options.clone());
    if let Ok(mut listener) = PgListener::connect_with(&pool).await
        && listener.listen("tides").await.is_ok()
        && let Ok(Ok(Some(notification))) =
            tokio::time::timeout(LISTENING, listener.try_recv()).await
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
