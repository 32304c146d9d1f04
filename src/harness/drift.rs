//! Compares any database with what the plan makes.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::Connection as _;

use super::Harness;
use crate::catalog::{LedgerClaim, SchemaDiff, Snapshot};
use crate::config::ServerUrl;
use crate::conn::{self, ConnParams, WRITE_URL};
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error;

/// How a database differs from what the plan makes.
///
/// `Display` says what the migration ledgers claim, and then what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriftReport {
    /// The schema's differences. The ledgers' rows are no part of the schema.
    pub diff: SchemaDiff,
    /// What the reference's migration ledger says, if it has one.
    pub expected_ledger: Option<LedgerClaim>,
    /// What the migration ledger of the compared database says, if it has one.
    pub found_ledger: Option<LedgerClaim>,
    /// The reference's PostgreSQL version, as `server_version` says it.
    pub expected_version: String,
    /// The compared database's.
    pub found_version: String,
}

impl Harness {
    /// Compares the database of a URL with a new copy of the template. The database is only read: in one read-only
    /// transaction, with at most twenty queries, which every role may send. Its server may be another, also a remote one.
    ///
    /// What the server keeps about a database is compared as well: owner, privileges, connection limit, comment and settings.
    /// The owner counts where the plan's migrations name one, or both sessions are of one role.
    ///
    /// The reference is what is expected: what it has beyond the database is missing. Definitions are told in PostgreSQL's
    /// own words, which some major versions change; have the plan ask for the version of the database's server. A pooler on
    /// the way has to let the start-up parameter `options` through.
    ///
    /// # Errors
    /// - [`Config`](ErrorKind::Config): the URL cannot be read, or the server has no such database.
    /// - [`BackendUnavailable`](ErrorKind::BackendUnavailable): no server answers there.
    /// - [`AccessDenied`](ErrorKind::AccessDenied): it does not let this role in.
    /// - [`Database`](ErrorKind::Database): it refuses a query, such as one that waits for a lock for half a minute.
    /// - The reference cannot be made: as for [`database`](Self::database).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn compare() -> ebbtide::Result<()> {
    /// let report = ebbtide::harness()?.diff("postgres://reader@db.example/app?sslmode=require").await?;
    /// assert!(report.diff.is_empty(), "{report}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn diff(&self, url: &str) -> Result<DriftReport> {
        // The candidate first: its URL is what may be wrong, and the reference takes longer.
        let found = Candidate::parse(url)?.read().await?;
        let reference = self.database().await?;
        let expected = Candidate::parse(reference.url())?.read().await?;
        reference.close().await?;
        Ok(DriftReport {
            diff: expected.compare(&found),
            expected_ledger: expected.ledger,
            found_ledger: found.ledger,
            expected_version: expected.version,
            found_version: found.version,
        })
    }
}

impl DriftReport {
    /// Whether both servers are of one major version, and so write definitions alike.
    fn is_one_version(&self) -> bool {
        let major = |version: &str| {
            version
                .chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        };
        major(&self.expected_version) == major(&self.found_version)
    }
}

impl fmt::Display for DriftReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, claim) in [
            ("expected:", &self.expected_ledger),
            ("found:   ", &self.found_ledger),
        ] {
            match claim {
                Some(claim) => writeln!(f, "ledger {side} {claim}")?,
                None => writeln!(f, "ledger {side} none")?,
            }
        }
        if self.expected_ledger == self.found_ledger
            && self.expected_ledger.is_some()
            && !self.diff.is_empty()
        {
            writeln!(f, "the ledgers agree, the schemas do not")?;
        }
        if !self.is_one_version() && !self.diff.is_empty() {
            let (expected, found) = (&self.expected_version, &self.found_version);
            writeln!(
                f,
                "PostgreSQL {expected} and {found} write some definitions differently"
            )?;
        }
        self.diff.fmt(f)
    }
}

/// A database that is only looked at.
struct Candidate {
    /// Prints without its password.
    url: ServerUrl,
    conn: ConnParams,
}

impl Candidate {
    fn parse(url: &str) -> Result<Self> {
        let shown = ServerUrl::new(url);
        let conn = ConnParams::external(url, &BTreeMap::new()).map_err(|error| {
            Error::new(ErrorKind::Config, format!("the URL {shown} cannot be read"))
                .with_source(error)
                .with_help(WRITE_URL)
        })?;
        Ok(Self {
            url: shown,
            conn: conn.looking(),
        })
    }

    async fn read(&self) -> Result<Snapshot> {
        let options = self
            .conn
            .own_options(self.conn.own_database())
            .options([("default_transaction_read_only", "on")]);
        let mut connection = conn::open(&options)
            .await
            .map_err(|error| self.refusal(error))?;
        let snapshot = Snapshot::read(&mut connection).await;
        let step = format!("reading the schema of {}", self.url);
        let snapshot = snapshot.map_err(|error| sql_error::failed(&step, error))?;
        // It has been read; a server that goes away now changes nothing about that.
        let _ = connection.close().await;
        Ok(snapshot)
    }

    fn refusal(&self, error: sqlx::Error) -> Error {
        let (url, place) = (&self.url, self.conn.place());
        let (kind, message, help) = match &error {
            sqlx::Error::Io(_) => (
                ErrorKind::BackendUnavailable,
                format!("no server answers at {place}, where {url} leads"),
                "start it, or correct the URL",
            ),
            // invalid_catalog_name
            refused if sql_error::code(refused) == Some("3D000") => (
                ErrorKind::Config,
                format!(
                    "the server at {place} has no database {}",
                    self.conn.own_database()
                ),
                "correct the database's name in the URL",
            ),
            refused if sql_error::is_denied(refused) => (
                ErrorKind::AccessDenied,
                format!("the server does not let us in with {url}"),
                "correct the role or its password in the URL, or see to it that pg_hba.conf and GRANT CONNECT let it in",
            ),
            other if sql_error::is_crowded(other) => {
                return sql_error::failed(&format!("connecting to {place}"), error);
            }
            _ => (
                ErrorKind::BackendUnavailable,
                format!("the server at {place}, where {url} leads, cannot be used"),
                "see whether it is a PostgreSQL server that takes connections, with or without encryption (`sslmode`)",
            ),
        };
        Error::new(kind, message).with_source(error).with_help(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(expected: &str, found: &str, is_missing: bool) -> String {
        let mut diff = SchemaDiff::default();
        if is_missing {
            let object = crate::catalog::SchemaObject {
                kind: crate::catalog::ObjectKind::Table,
                name: "a".into(),
            };
            diff.missing.push(object);
        }
        let (expected_version, found_version) = (expected.to_owned(), found.to_owned());
        let (expected_ledger, found_ledger) = (None, None);
        DriftReport {
            diff,
            expected_ledger,
            found_ledger,
            expected_version,
            found_version,
        }
        .to_string()
    }

    #[test]
    fn another_major_version_is_told_where_something_differs() {
        let ledgers = "ledger expected: none\nledger found:    none\n";
        let missing = "missing (1):\n  table a";
        assert_eq!(
            report("15.18 (Debian)", "15.2", true),
            format!("{ledgers}{missing}")
        );
        assert_eq!(
            report("18.1", "18beta1", true),
            format!("{ledgers}{missing}")
        );
        assert_eq!(
            report("17.6", "15.2", false),
            format!("{ledgers}no difference")
        );
        let told = "PostgreSQL 17.6 and 18beta1 write some definitions differently";
        assert_eq!(
            report("17.6", "18beta1", true),
            format!("{ledgers}{told}\n{missing}")
        );
    }
}
