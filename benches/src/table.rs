//! Several sides against one reference.

use std::time::Duration;

use crate::ratios::Ratios;

/// The ratios of each side's time to the reference's, with one reference for each round.
#[derive(Debug)]
pub(crate) struct Table {
    reference: &'static str,
    rows: Vec<(&'static str, Ratios)>,
}

impl Table {
    pub(crate) fn new(reference: &'static str) -> Self {
        Self {
            reference,
            rows: Vec::new(),
        }
    }

    /// Adds one round's time of a side.
    pub(crate) fn add(&mut self, side: &'static str, time: Duration, reference: Duration) {
        let index = self.rows.iter().position(|(known, _)| *known == side);
        let index = index.unwrap_or_else(|| {
            self.rows.push((side, Ratios::default()));
            self.rows.len() - 1
        });
        self.rows[index].1.push(time, reference);
    }

    #[expect(clippy::print_stdout, reason = "the program prints its results")]
    pub(crate) fn print(&self, name: &str) {
        for (side, ratios) in &self.rows {
            if let Some(summary) = ratios.summary() {
                println!("{name:<22} {summary}  {side} / {}", self.reference);
            }
        }
    }
}
