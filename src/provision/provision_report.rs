//! What provisioning did, as plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What was installed, applied and inserted when a template was built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProvisionReport {
    /// The extensions of the finished database, with their versions. `plpgsql`, which is always
    /// there, is left out.
    pub extensions: BTreeMap<String, String>,
    /// The applied migrations, in the order in which they ran.
    pub migrations: Vec<MigrationReport>,
    /// Entries of the migrations directory that look like migrations and were not applied, such as
    /// `schema.sql`, `1_users.sql.bak` or `old/`.
    #[serde(default)]
    pub not_applied: Vec<String>,
    /// What each seed file inserted into each table, in the order of the files.
    pub seeds: Vec<SeedReport>,
    /// The tables of the finished database, without migration ledgers, with their exact row counts.
    /// Tables outside of `public` are written as `schema.table`.
    pub rows: BTreeMap<String, u64>,
    /// What was skipped in SQL files, one line each: the file, the line and the reason. See
    /// [SQL files](crate#sql-files).
    #[serde(default)]
    pub notes: Vec<String>,
    /// The phases in order, each with its duration.
    pub phases: Vec<PhaseReport>,
}

/// One applied migration. A migration command or a migration function counts as one migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MigrationReport {
    /// The version, as in the file's name. For plain SQL this is the file's name itself. For a
    /// command or a function it is the latest version in the ledger that it wrote; `None` without
    /// a ledger.
    pub version: Option<String>,
    /// The description, as in the file's name. For a command this is the command, and for a
    /// function the function's name.
    pub description: String,
    /// Time to apply it. In JSON `took_ms`, in milliseconds.
    #[serde(rename = "took_ms", with = "crate::milliseconds")]
    pub took: Duration,
}

/// What one seed file did to one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SeedReport {
    /// The file's name.
    pub file: String,
    /// The table, written as in [`ProvisionReport::rows`].
    pub table: String,
    /// The number of inserted rows.
    pub inserted: u64,
    /// The number of rows that were skipped, because they conflict with existing ones.
    pub skipped: u64,
}

impl fmt::Display for SeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seeded {} {}, skipped {}",
            self.inserted, self.table, self.skipped
        )
    }
}

/// One phase of provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PhaseReport {
    /// `extensions`, `migrations`, `verification`, `seeds` or `expectations`.
    pub name: String,
    /// Its duration. In JSON `took_ms`, in milliseconds.
    #[serde(rename = "took_ms", with = "crate::milliseconds")]
    pub took: Duration,
}
