//! How a guarded transaction ended, and what its test may have left behind.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// How a test's transaction ended, and what the test may have left behind.
#[derive(Debug)]
pub(crate) struct CloseResult {
    pub(crate) outcome: Outcome,
    pub(crate) remains: Remains,
}

impl CloseResult {
    /// The result if ebbtide could not read what the test left behind.
    pub(super) fn with_unknown_remains(outcome: Outcome) -> Self {
        Self {
            outcome,
            remains: Remains::default(),
        }
    }
}

/// How the test's transaction ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Rolled back.
    Clean,
    /// Rolled back, and a deferred constraint or trigger rejected what the test wrote.
    ConstraintViolated(sqlx::Error),
    /// The test had ended the transaction itself, so the lane may contain anything.
    Escaped,
    /// The connection or the server failed.
    Lost(sqlx::Error),
}

/// What a test may have left behind although it was rolled back. The default assumes everything
/// that is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remains {
    /// Rows that the test wrote. They stay in the tables as dead rows.
    pub(crate) dead_rows: u32,
    /// Whether ANALYZE or CREATE INDEX may have changed what the planner reads.
    pub(crate) estimates_changed: bool,
    /// Whether the session may differ from a new one in what no command resets.
    pub(crate) session_changed: bool,
    /// Whether another client was connected, and may have committed.
    pub(crate) other_client: bool,
    /// How many sessions the database has ever had, where the server counts them.
    pub(crate) session_count: Option<u64>,
}

impl Default for Remains {
    fn default() -> Self {
        Self {
            dead_rows: 0,
            estimates_changed: true,
            session_changed: true,
            other_client: true,
            session_count: None,
        }
    }
}

impl Remains {
    /// Reads the row of the message that rewinds.
    pub(super) fn read(row: &PgRow, other_client: bool) -> Result<Self, sqlx::Error> {
        Ok(Self::parse(row.try_get_unchecked(0)?, other_client))
    }

    fn parse(text: &str, other_client: bool) -> Self {
        // The fields after these are the results of functions that only act.
        let mut fields = text.split(' ');
        let mut field = || fields.next().unwrap_or_default();
        // A count above `u32::MAX` exceeds every limit as well.
        let dead_rows = field().parse().unwrap_or(u32::MAX);
        // What cannot be read counts as changed: the worst that follows is one more copy.
        let (estimates_changed, session_changed) = (field() != "f", field() != "f");
        Self {
            dead_rows,
            estimates_changed,
            session_changed,
            other_client,
            session_count: field().parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_left_is_read_and_what_is_missing_counts_as_changed() {
        let usual = Remains {
            dead_rows: 3,
            estimates_changed: false,
            session_changed: false,
            other_client: false,
            session_count: Some(12),
        };
        assert_eq!(Remains::parse("3 f f 12 0  ", false), usual);
        let without_count = Remains {
            session_count: None,
            ..usual
        };
        assert_eq!(Remains::parse("3 f f  0  ", false), without_count);
        let unknown = Remains {
            dead_rows: u32::MAX,
            ..Remains::default()
        };
        assert_eq!(Remains::parse("", true), unknown);
    }
}
