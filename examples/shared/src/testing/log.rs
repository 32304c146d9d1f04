//! What the application tells while a future runs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tracing::instrument::{WithDispatch, WithSubscriber as _};

/// Collects lines.
#[derive(Debug, Clone, Default)]
pub struct Log {
    text: Arc<Mutex<String>>,
    more: Arc<Notify>,
}

impl Log {
    /// Collects what the future tells.
    pub fn of<F: Future>(&self, future: F) -> WithDispatch<F> {
        let log = self.clone();
        future.with_subscriber(
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || log.clone())
                .finish(),
        )
    }

    /// All that was told so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until so many lines have these words.
    pub async fn until(&self, words: &str, lines: usize) {
        loop {
            let more = self.more.notified();
            if self
                .text()
                .lines()
                .filter(|line| line.contains(words))
                .count()
                >= lines
            {
                return;
            }
            more.await;
        }
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&String::from_utf8_lossy(bytes));
        self.more.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
