//! Ratios of one side's time to another's, one for each round.

use std::fmt;
use std::time::Duration;

use crate::Error;

#[derive(Debug, Default, Clone)]
pub(crate) struct Ratios(Vec<f64>);

impl Ratios {
    pub(crate) fn push(&mut self, time: Duration, reference: Duration) {
        self.0.push(time.as_secs_f64() / reference.as_secs_f64());
    }

    /// The minimum, the median and the maximum.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Summary {
            least: *sorted.first()?,
            median: sorted[sorted.len() / 2],
            most: *sorted.last()?,
            rounds: sorted.len(),
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
    pub(crate) rounds: usize,
}

impl Summary {
    /// Whether the median is at most the bar, and otherwise by how much it is above.
    pub(crate) fn verdict(&self, bar: f64) -> String {
        // A ratio is printed with two digits, and is compared as printed.
        let median = (self.median * 100.0).round() / 100.0;
        if median <= bar {
            "met".to_owned()
        } else {
            format!("missed by {:.0} %", (self.median / bar - 1.0) * 100.0)
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.2} {:>7.2} {:>7.2} {:>4}",
            self.median, self.least, self.most, self.rounds
        )
    }
}

/// Measures two sides in alternation. Every second round measures the reference first, so that
/// neither side always runs in the other's wake.
pub(crate) async fn alternate(
    rounds: usize,
    mut side: impl AsyncFnMut() -> Result<Duration, Error>,
    mut reference: impl AsyncFnMut() -> Result<Duration, Error>,
) -> Result<Ratios, Error> {
    let mut ratios = Ratios::default();
    for round in 0..rounds {
        let (time, other) = if round % 2 == 0 {
            let time = side().await?;
            (time, reference().await?)
        } else {
            let other = reference().await?;
            (side().await?, other)
        };
        ratios.push(time, other);
    }
    Ok(ratios)
}

/// The median of some times; zero if there are none.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(values: &[u64]) -> Summary {
        let mut ratios = Ratios::default();
        for value in values {
            ratios.push(Duration::from_millis(*value), Duration::from_millis(100));
        }
        ratios.summary().expect("at least one round")
    }

    #[test]
    fn a_summary_has_the_median_the_least_and_the_most() {
        let summary = ratios(&[300, 100, 150]);
        assert_eq!(
            summary.to_string().split_whitespace().collect::<Vec<_>>(),
            ["1.50", "1.00", "3.00", "3"]
        );
    }

    #[test]
    fn without_rounds_there_is_no_summary() {
        assert!(Ratios::default().summary().is_none());
    }

    #[test]
    fn a_median_at_the_bar_meets_it_and_one_above_misses_it() {
        assert_eq!(ratios(&[120]).verdict(1.2), "met");
        assert_eq!(ratios(&[150]).verdict(1.2), "missed by 25 %");
    }
}
