//! The measurements, as a table and as JSON.

use std::fmt;
use std::time::Duration;

/// The measured times, in the order of the printed lines.
pub(crate) struct Figures {
    rounds: usize,
    lines: Vec<Line>,
    notes: Vec<String>,
}

struct Line {
    key: &'static str,
    label: &'static str,
    /// The keys of the lines with which this one is compared.
    references: &'static [&'static str],
    times: Vec<Duration>,
}

impl Figures {
    pub(crate) fn new(rounds: usize) -> Self {
        Self {
            rounds,
            lines: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn line(
        &mut self,
        key: &'static str,
        label: &'static str,
        references: &'static [&'static str],
    ) {
        self.lines.push(Line {
            key,
            label,
            references,
            times: Vec::new(),
        });
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(crate) fn add(&mut self, key: &str, time: Duration) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.key == key) {
            line.times.push(time);
        }
    }

    pub(crate) fn as_json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        object.insert("rounds".to_owned(), self.rounds.into());
        for line in &self.lines {
            let Some([least, median, most]) = line.milliseconds() else {
                continue;
            };
            let ratios: serde_json::Map<_, _> = self
                .ratios(line)
                .map(|(reference, ratio)| (reference.to_owned(), ratio.into()))
                .collect();
            let figures = serde_json::json!({ "median_ms": median, "least_ms": least, "most_ms": most, "ratios": ratios });
            object.insert(line.key.to_owned(), figures);
        }
        object.insert("notes".to_owned(), self.notes.clone().into());
        object.into()
    }

    fn ratios<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = (&'static str, f64)> + 'a {
        self.lines
            .iter()
            .filter(|other| line.references.contains(&other.key))
            .filter_map(|other| {
                let ([_, median, _], [_, reference, _]) =
                    (line.milliseconds()?, other.milliseconds()?);
                Some((other.key, median / reference))
            })
    }
}

impl Line {
    /// The minimum, the median and the maximum.
    fn milliseconds(&self) -> Option<[f64; 3]> {
        let mut times = self.times.clone();
        times.sort_unstable();
        let all = [*times.first()?, times[times.len() / 2], *times.last()?];
        Some(all.map(|time| time.as_secs_f64() * 1e3))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<66}{:>8}{:>8}{:>8}  (ms, {} rounds)",
            "", "median", "least", "most", self.rounds
        )?;
        for line in &self.lines {
            let Some([least, median, most]) = line.milliseconds() else {
                continue;
            };
            write!(
                f,
                "{:<24}{:<42}{median:>8.0}{least:>8.0}{most:>8.0}",
                line.key, line.label
            )?;
            for (reference, ratio) in self.ratios(line) {
                write!(f, "  {ratio:.2} x {reference}")?;
            }
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
