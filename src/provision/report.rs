//! What provisioning did, in plain values.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The story of a template: what was installed, applied and inserted when it was built.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProvisionReport {
    /// Installed extensions with the versions read back from the server.
    pub extensions: BTreeMap<String, String>,
    /// Applied migrations in order.
    pub migrations: Vec<MigrationReport>,
    /// What each seed file put into each table.
    pub seeds: Vec<SeedReport>,
    /// Tables of the finished database, without migration ledgers. A schema other than `public` is named.
    pub tables: Vec<String>,
    /// Exact row counts of these tables.
    pub rows: BTreeMap<String, u64>,
    /// The phases in order with the time each took.
    pub phases: Vec<PhaseReport>,
}

/// One applied migration. A command, or a function of the test's own, counts as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MigrationReport {
    /// The version, as in the file's name; for plain SQL, the name itself. For a command or a function, the latest version
    /// in the ledger that it left, and empty without one.
    pub version: String,
    /// The description, as in the file's name; the command itself; the function's name.
    pub description: String,
    /// Time to apply it, in milliseconds.
    pub milliseconds: f64,
}

/// What one seed file did to one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SeedReport {
    /// The file's name.
    pub file: String,
    /// The table.
    pub table: String,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows that were there already.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PhaseReport {
    /// `extensions`, `migrations`, `verification`, `seeds` or `expectations`.
    pub name: String,
    /// Time it took, in milliseconds.
    pub milliseconds: f64,
}
