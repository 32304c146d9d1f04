//! The comparison of a database with the head of the migration chain.

use std::fmt;
use std::path::Path;

use ebbtide::{Harness, Result};

use ebbtide::report::DriftReport;

use ebbtide::schema::LedgerClaim;

/// How a database differs from the head of the chain, and which revision its ledger claims.
#[derive(Debug, Clone)]
pub struct Drift {
    report: DriftReport,
}

/// A harness for this package's plan. It does not depend on the working directory.
///
/// # Errors
/// As for [`ebbtide::config::Builder::build`].
pub fn harness() -> Result<Harness> {
    Harness::builder()
        .config_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("ebbtide.toml"))
        .build()
}

/// The pipeline's name of a migration. The pipeline's revisions are hexadecimal numbers; sqlx's
/// versions are the same numbers in decimal.
#[must_use]
pub fn revision(version: &str) -> String {
    version
        .parse::<i64>()
        .map_or_else(|_| version.to_owned(), |version| format!("{version:012x}"))
}

impl Drift {
    /// Compares the database of a URL with a new one at the head. It only reads the former.
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
        self.report.is_clean()
    }

    /// The underlying report.
    #[must_use]
    pub fn report(&self) -> &DriftReport {
        &self.report
    }

    /// The revision that the ledger claims, if it is the head.
    #[must_use]
    pub fn claimed_head(&self) -> Option<String> {
        let latest =
            |claim: &Option<LedgerClaim>| claim.as_ref().and_then(|claim| claim.latest.clone());
        let claimed = latest(&self.report.found.ledger)?;
        (latest(&self.report.expected.ledger)? == claimed).then(|| revision(&claimed))
    }

    /// The comparison as JSON: `ledger` with the claims, and `missing`, `extra` and `different`.
    ///
    /// # Errors
    /// Never: the report can always be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut json = serde_json::to_value(&self.report.diff)?;
        let text = |claim: &Option<LedgerClaim>| claim.as_ref().map(ToString::to_string);
        let ledger = serde_json::json!({
            "expected": text(&self.report.expected.ledger),
            "found": text(&self.report.found.ledger),
            "claimed_head": self.claimed_head(),
        });
        json["ledger"] = ledger;
        serde_json::to_string_pretty(&json)
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.claimed_head(), self.is_none()) {
            (Some(head), true) => {
                writeln!(f, "the ledger claims head ({head}), and the schema agrees")?;
            }
            (Some(head), false) => {
                writeln!(f, "the ledger claims head ({head}), but the schema differs")?;
            }
            (None, _) => writeln!(f, "the ledger does not claim head")?,
        }
        self.report.fmt(f)
    }
}
