//! Polling with a deadline, which remembers the last thing seen.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

const MIN_INTERVAL: Duration = Duration::from_millis(1);
const MAX_INTERVAL: Duration = Duration::from_millis(25);

/// Paces a loop that looks at a condition again and again, and ends it at a limit.
#[derive(Debug)]
pub(crate) struct Patience {
    step: String,
    limit: Duration,
    began: Instant,
    pause: Duration,
}

impl Patience {
    /// `step` is what a timeout names.
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

    /// Waits before the next look, a little longer each time.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] naming the step, the limit and the last thing seen.
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
    async fn a_timeout_names_step_limit_and_last_sight() {
        let mut patience = Patience::new("tide", Duration::from_millis(3));
        let error = loop {
            if let Err(error) = patience.pause("low water").await {
                break error;
            }
        };
        assert_eq!(error.to_string(), "tide: not done after 3ms (low water)");
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
