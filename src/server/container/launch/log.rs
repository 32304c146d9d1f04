//! The container's log during the start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use testcontainers::bollard::query_parameters::LogsOptionsBuilder;
use tokio::task::JoinHandle;

use super::super::engine::Engine;

/// The container's log during the start.
///
/// A task follows it, because the engine removes the log together with the container.
pub(super) struct ContainerLog {
    text: Arc<Mutex<String>>,
    is_lost: Arc<AtomicBool>,
    follower: JoinHandle<()>,
}

impl ContainerLog {
    pub(super) fn follow(engine: &Engine, container: &str) -> Self {
        let options = LogsOptionsBuilder::new()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .build();
        let mut lines = engine.docker.logs(container, Some(options));
        let text = Arc::new(Mutex::new(String::new()));
        let is_lost = Arc::new(AtomicBool::new(false));
        let (kept, lost) = (Arc::clone(&text), Arc::clone(&is_lost));
        let follower = tokio::spawn(async move {
            // The stream ends without an error when the container ends. If the engine ends or
            // cannot read the log, an error comes before the end.
            while let Some(line) = lines.next().await {
                match line {
                    Ok(line) => kept
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_str(&line.to_string()),
                    Err(error) => {
                        tracing::debug!(%error, "the container's log cannot be followed");
                        lost.store(true, Ordering::Release);
                        return;
                    }
                }
            }
        });
        Self {
            text,
            is_lost,
            follower,
        }
    }

    /// Whether the container has ended: its log ends at the same time.
    pub(super) fn has_ended(&self) -> bool {
        // In this order: the task stores `is_lost` before it finishes, so a finished task with a
        // lost log is never taken for an ended container.
        self.follower.is_finished() && !self.is_lost()
    }

    /// Whether the engine cannot deliver the log: it has ended, or its log driver cannot read logs.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    pub(super) fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for ContainerLog {
    fn drop(&mut self) {
        // Otherwise the task and its request would last as long as the container runs.
        self.follower.abort();
    }
}
