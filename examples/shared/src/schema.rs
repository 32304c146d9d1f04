//! Whether a database is what a program was made for: the ledger against the migrations that it ships.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::PgPool;
use sqlx::migrate::Migrator;

/// The newest version that the ledger has, the newest that the program ships, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// None where no migration has run.
    pub current: Option<i64>,
    /// None in a program without migrations.
    pub expected: Option<i64>,
    /// None when ledger and program agree.
    pub problem: Option<Problem>,
}

/// How ledger and program disagree. The first that is found is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// There is no ledger.
    NeverMigrated,
    /// A migration that has run is another one than what the program ships under its number.
    Changed(i64),
    /// A migration has run that the program does not know: it is older than the database.
    Unknown(i64),
    /// Migrations that the program ships have not run.
    Pending(Vec<i64>),
}

/// The refusal to work on a database that is not what the program was made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database's schema is not the one that this program needs: {0}")]
pub struct OutOfDate(pub SchemaState);

impl SchemaState {
    /// Reads the ledger, `_sqlx_migrations`.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn read(pool: &PgPool, shipped: &Migrator) -> Result<Self, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let is_there = "select to_regclass('_sqlx_migrations') is not null";
        let is_there: bool = sqlx::query_scalar(is_there)
            .fetch_one(&mut *connection)
            .await?;
        let applied: Vec<(i64, Vec<u8>)> = if is_there {
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
        let problem = if is_there {
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

    /// The check that a service makes when it starts.
    ///
    /// # Errors
    /// Ledger and program disagree.
    pub fn ensure_current(self) -> Result<(), OutOfDate> {
        if self.problem.is_none() {
            Ok(())
        } else {
            Err(OutOfDate(self))
        }
    }
}

fn compare(applied: &BTreeMap<i64, Vec<u8>>, shipped: &BTreeMap<i64, &[u8]>) -> Option<Problem> {
    for (version, checksum) in applied {
        match shipped.get(version) {
            None => return Some(Problem::Unknown(*version)),
            Some(wanted) if *wanted != checksum.as_slice() => {
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
        let named = |version: Option<i64>| {
            version.map_or_else(|| "none".to_owned(), |version| version.to_string())
        };
        write!(
            f,
            "current {}, expected {}",
            named(self.current),
            named(self.expected)
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
            Self::NeverMigrated => f.write_str("no migration has ever run here"),
            Self::Changed(version) => {
                write!(f, "migration {version} was changed after it had run here")
            }
            Self::Unknown(version) => write!(
                f,
                "migration {version} has run here, and this program does not know it"
            ),
            Self::Pending(versions) => {
                let versions: Vec<String> = versions.iter().map(i64::to_string).collect();
                write!(f, "not run yet: {}", versions.join(", "))
            }
        }
    }
}
