//! The comparison, and what it says about the ledger.

use std::fmt;
use std::path::Path;

use ebbtide::{DriftReport, Harness, LedgerClaim, Result};

/// How a database differs from the head of the chain, and whether its ledger admits that.
#[derive(Debug, Clone)]
pub struct Drift {
    report: DriftReport,
}

/// A harness for this package's plan, wherever the program is called from.
///
/// # Errors
/// As for [`ebbtide::Builder::build`].
pub fn harness() -> Result<Harness> {
    Harness::builder()
        .config_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("ebbtide.toml"))
        .build()
}

/// The pipeline's own name of a migration. Its revisions are hexadecimal numbers, sqlx's versions the same in decimal.
#[must_use]
pub fn revision(version: &str) -> String {
    version
        .parse::<i64>()
        .map_or_else(|_| version.to_owned(), |version| format!("{version:012x}"))
}

impl Drift {
    /// Compares the database of a URL with a new one at the head. It is only read.
    ///
    /// # Errors
    /// As for [`Harness::diff`].
    pub async fn of(harness: &Harness, url: &str) -> Result<Self> {
        Ok(Self {
            report: harness.diff(url).await?,
        })
    }

    /// Whether the schemas are the same.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.report.diff.is_empty()
    }

    /// The report that it was made of.
    #[must_use]
    pub fn report(&self) -> &DriftReport {
        &self.report
    }

    /// The revision that the ledger claims, if it is the head's.
    #[must_use]
    pub fn claimed_head(&self) -> Option<String> {
        let latest =
            |claim: &Option<LedgerClaim>| claim.as_ref().and_then(|claim| claim.latest.clone());
        let claimed = latest(&self.report.found_ledger)?;
        (latest(&self.report.expected_ledger)? == claimed).then(|| revision(&claimed))
    }

    /// All of it for programs: `ledger` with the claims, then `missing`, `extra` and `different`.
    ///
    /// # Errors
    /// Never, as long as the report's own JSON is an object.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut json: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&self.report.diff.to_json())?;
        let said = |claim: &Option<LedgerClaim>| claim.as_ref().map(ToString::to_string);
        let ledger = serde_json::json!({
            "expected": said(&self.report.expected_ledger),
            "found": said(&self.report.found_ledger),
            "claimed_head": self.claimed_head(),
        });
        json.insert("ledger".to_owned(), ledger);
        serde_json::to_string_pretty(&json)
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.claimed_head(), self.is_none()) {
            (Some(head), true) => writeln!(f, "the ledger claims head ({head}), and so it is")?,
            (Some(head), false) => {
                writeln!(f, "the ledger claims head ({head}), and that is not true")?
            }
            (None, _) => writeln!(f, "the ledger does not claim head")?,
        }
        self.report.fmt(f)
    }
}
