//! The application's log while a future runs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tracing::instrument::{WithDispatch, WithSubscriber as _};

/// Collects log lines.
#[derive(Debug, Clone, Default)]
pub struct Log {
    text: Arc<Mutex<String>>,
    appended: Arc<Notify>,
}

impl Log {
    /// Collects the lines that the future logs.
    pub fn capture<F: Future>(&self, future: F) -> WithDispatch<F> {
        let log = self.clone();
        future.with_subscriber(
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || log.clone())
                .finish(),
        )
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until at least `count` lines contain `text`.
    pub async fn wait_for_lines(&self, text: &str, count: usize) {
        loop {
            let appended = self.appended.notified();
            if self
                .text()
                .lines()
                .filter(|line| line.contains(text))
                .count()
                >= count
            {
                return;
            }
            appended.await;
        }
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&String::from_utf8_lossy(bytes));
        self.appended.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
