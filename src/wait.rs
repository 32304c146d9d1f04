//! Polling with a time limit. The timeout error names the last thing seen.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

const MIN_INTERVAL: Duration = Duration::from_millis(1);
const MAX_INTERVAL: Duration = Duration::from_millis(25);

/// Paces a loop that polls a condition, and ends the loop at a time limit.
///
/// The intervals grow: a condition that soon holds is seen soon, and a long wait costs few polls.
#[derive(Debug)]
pub(crate) struct Polling {
    step: String,
    limit: Duration,
    began: Instant,
    pause: Duration,
}

impl Polling {
    /// `step` stands at the beginning of the timeout error.
    pub(crate) fn new(step: impl Into<String>, limit: Duration) -> Self {
        Self {
            step: step.into(),
            limit,
            began: Instant::now(),
            pause: MIN_INTERVAL,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sleeps until the next poll: 1 ms at first, then longer each time, at most 25 ms.
    ///
    /// `seen` describes what the last poll found.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when the limit has passed. It names the step, the limit and `seen`.
    pub(crate) async fn pause(&mut self, seen: impl Display) -> Result<()> {
        if self.began.elapsed() >= self.limit {
            let message = format!("{}: not done after {:?} ({seen})", self.step, self.limit);
            return Err(Error::new(ErrorKind::Timeout, message));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 3 / 2).min(MAX_INTERVAL);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timeout_names_the_step_the_limit_and_the_last_thing_seen() {
        let mut polling = Polling::new("tide", Duration::from_millis(3));
        let error = loop {
            if let Err(error) = polling.pause("low water").await {
                break error;
            }
        };
        assert_eq!(error.to_string(), "tide: not done after 3ms (low water)");
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
