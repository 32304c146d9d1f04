//! The comparison of a database's ledger with the migrations that a program ships.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::PgPool;
use sqlx::migrate::Migrator;

/// The latest version in the ledger, the latest that the program ships, and how they disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// `None` if no migration has run.
    pub current: Option<i64>,
    /// `None` if the program has no migrations.
    pub expected: Option<i64>,
    /// `None` if the ledger and the program agree.
    pub problem: Option<Problem>,
}

/// How the ledger and the program disagree. Only the first problem is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// There is no ledger.
    NeverMigrated,
    /// A migration has run with other contents than the program ships for this version.
    Changed(i64),
    /// A migration has run that the program does not ship. The program is older than the database.
    Unknown(i64),
    /// The program ships migrations that have not run.
    Pending(Vec<i64>),
}

/// The database's ledger does not match the program's migrations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database's schema must match this program's migrations: {0}")]
pub struct SchemaMismatch(pub SchemaState);

impl SchemaState {
    /// Reads the ledger, `_sqlx_migrations`.
    ///
    /// # Errors
    /// A query fails.
    pub async fn read(pool: &PgPool, shipped: &Migrator) -> Result<Self, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let has_ledger = "select to_regclass('_sqlx_migrations') is not null";
        let has_ledger: bool = sqlx::query_scalar(has_ledger)
            .fetch_one(&mut *connection)
            .await?;
        let applied: Vec<(i64, Vec<u8>)> = if has_ledger {
            let ledger = "select version, checksum from _sqlx_migrations where success";
            sqlx::query_as(ledger).fetch_all(&mut *connection).await?
        } else {
            Vec::new()
        };
        let applied: BTreeMap<i64, Vec<u8>> = applied.into_iter().collect();
        let shipped: BTreeMap<i64, &[u8]> = shipped
            .iter()
            .filter(|migration| !migration.migration_type.is_down_migration())
            .map(|migration| (migration.version, &*migration.checksum))
            .collect();
        let problem = if has_ledger {
            compare(&applied, &shipped)
        } else {
            Some(Problem::NeverMigrated)
        };
        Ok(Self {
            current: applied.last_key_value().map(|(version, _)| *version),
            expected: shipped.last_key_value().map(|(version, _)| *version),
            problem,
        })
    }

    /// The check of a service at its start.
    ///
    /// # Errors
    /// The ledger and the program disagree.
    pub fn ensure_current(self) -> Result<(), SchemaMismatch> {
        if self.problem.is_none() {
            Ok(())
        } else {
            Err(SchemaMismatch(self))
        }
    }
}

fn compare(applied: &BTreeMap<i64, Vec<u8>>, shipped: &BTreeMap<i64, &[u8]>) -> Option<Problem> {
    for (version, checksum) in applied {
        match shipped.get(version) {
            None => return Some(Problem::Unknown(*version)),
            Some(expected) if *expected != checksum.as_slice() => {
                return Some(Problem::Changed(*version));
            }
            Some(_) => {}
        }
    }
    let pending: Vec<i64> = shipped
        .keys()
        .filter(|version| !applied.contains_key(version))
        .copied()
        .collect();
    (!pending.is_empty()).then_some(Problem::Pending(pending))
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |version: Option<i64>| {
            version.map_or_else(|| "none".to_owned(), |version| version.to_string())
        };
        write!(
            f,
            "current {}, expected {}",
            text(self.current),
            text(self.expected)
        )?;
        match &self.problem {
            None => Ok(()),
            Some(problem) => write!(f, ": {problem}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverMigrated => f.write_str("no migration has run on this database"),
            Self::Changed(version) => {
                write!(
                    f,
                    "migration {version} was changed after it ran on this database"
                )
            }
            Self::Unknown(version) => write!(
                f,
                "migration {version} has run on this database, but this program does not contain it"
            ),
            Self::Pending(versions) => {
                let versions: Vec<String> = versions.iter().map(i64::to_string).collect();
                write!(f, "pending migrations: {}", versions.join(", "))
            }
        }
    }
}
