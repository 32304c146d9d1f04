//! Compares any database with a new copy of the template.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use sqlx::Connection as _;

use super::Harness;
use crate::catalog::{Aspect, LedgerClaim, SchemaDiff, Snapshot};
use crate::config::ServerUrl;
use crate::conn::{self, ConnParams, URL_HELP};
use crate::error::{Error, ErrorKind, Result};
use crate::provision;
use crate::sql_error;

/// How a database differs from the template.
///
/// `Display` prints the claims of the two migration ledgers, then the differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DriftReport {
    /// The differences of the schemas. Rows of the ledgers are not compared.
    pub diff: SchemaDiff,
    /// The reference.
    pub expected: ComparedDatabase,
    /// The compared database.
    pub found: ComparedDatabase,
}

/// One of the two databases of a [`DriftReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ComparedDatabase {
    /// The version of its server, as the setting `server_version` has it.
    pub server_version: String,
    /// The claim of its migration ledger, if it has one.
    pub ledger: Option<LedgerClaim>,
}

impl Harness {
    /// Compares the database of a URL with a new copy of the template, the reference.
    ///
    /// ebbtide only reads the database, in one read-only transaction of at most six messages that
    /// every role may send. The database may be on another server, also on another machine. A
    /// pooler in between must forward the start-up parameter `options`.
    ///
    /// An object is *missing* when only the reference has it, and *extra* when only the database
    /// has it. The report also compares what the server stores about a database: owner, privileges,
    /// connection limit, comment and settings. It compares the owner if the plan's migrations name
    /// one, or if both sessions have the same role.
    ///
    /// PostgreSQL itself writes the definitions, and major versions differ in how they write some.
    /// So set `server.postgres` to the major version of the database's server.
    ///
    /// # Errors
    /// - [`Config`](ErrorKind::Config): the URL is malformed, or the server has no such database.
    /// - [`BackendUnavailable`](ErrorKind::BackendUnavailable): no server answers there.
    /// - [`AccessDenied`](ErrorKind::AccessDenied): the server rejects the login.
    /// - [`Database`](ErrorKind::Database): the server rejects a query, for example because it has
    ///   waited 30 seconds for a lock.
    /// - The reference cannot be created: as for [`database`](Self::database).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn compare() -> ebbtide::Result<()> {
    /// let url = "postgres://reader@db.example/app?sslmode=require";
    /// let report = ebbtide::Harness::shared()?.diff(url).await?;
    /// assert!(report.is_clean(), "{report}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn diff(&self, url: &str) -> Result<DriftReport> {
        self.diff_without(url, &[]).await
    }

    /// Like [`diff`](Self::diff), without some aspects of the schemas.
    ///
    /// # Errors
    /// As for [`diff`](Self::diff).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn compare() -> ebbtide::Result<()> {
    /// use ebbtide::schema::Aspect;
    /// let harness = ebbtide::Harness::shared()?;
    /// let url = "postgres://reader@db.example/app?sslmode=require";
    /// let report = harness.diff_without(url, &[Aspect::Owners, Aspect::ColumnOrder]).await?;
    /// assert!(report.is_clean(), "{report}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn diff_without(&self, url: &str, aspects: &[Aspect]) -> Result<DriftReport> {
        // The compared database comes first: a wrong URL fails before the reference is built.
        let found = Candidate::parse(url)?.read().await?;
        let reference = self.as_administrator().database().await?;
        let expected = Candidate::parse(reference.url())?.read().await?;
        reference.close().await?;
        let (expected, found) = (expected.without(aspects), found.without(aspects));
        Ok(DriftReport {
            diff: expected.compare(&found),
            expected: ComparedDatabase::of(expected),
            found: ComparedDatabase::of(found),
        })
    }
}

impl ComparedDatabase {
    fn of(snapshot: Snapshot) -> Self {
        Self {
            server_version: snapshot.version,
            ledger: snapshot.ledger,
        }
    }
}

impl DriftReport {
    /// Whether the schemas are the same. The ledgers' claims do not count.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.diff.is_clean()
    }

    /// Whether both servers have the same major version, and so write definitions alike.
    fn has_one_major_version(&self) -> bool {
        let major = |version: &str| {
            version
                .chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        };
        major(&self.expected.server_version) == major(&self.found.server_version)
    }
}

impl fmt::Display for DriftReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, claim) in [
            ("expected:", &self.expected.ledger),
            ("found:   ", &self.found.ledger),
        ] {
            match claim {
                Some(claim) => writeln!(f, "ledger {side} {claim}")?,
                None => writeln!(f, "ledger {side} none")?,
            }
        }
        if self.expected.ledger == self.found.ledger
            && self.expected.ledger.is_some()
            && !self.is_clean()
        {
            writeln!(f, "the ledgers agree, the schemas do not")?;
        }
        if !self.has_one_major_version() && !self.is_clean() {
            let (expected, found) = (&self.expected.server_version, &self.found.server_version);
            writeln!(
                f,
                "PostgreSQL {expected} and {found} write some definitions differently"
            )?;
        }
        self.diff.fmt(f)
    }
}

/// A database that is only read.
struct Candidate {
    /// Prints without its password.
    url: ServerUrl,
    conn: ConnParams,
}

impl Candidate {
    fn parse(url: &str) -> Result<Self> {
        let redacted = ServerUrl::new(url);
        let conn = ConnParams::external(url, &BTreeMap::new()).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("the URL {redacted} cannot be parsed"),
            )
            .with_source(error)
            .with_help(URL_HELP)
        })?;
        Ok(Self {
            url: redacted,
            conn: conn.read_only(),
        })
    }

    async fn read(&self) -> Result<Snapshot> {
        let options = self
            .conn
            .own_options(self.conn.own_database())
            .options([("default_transaction_read_only", "on")]);
        let mut connection = conn::open(&options)
            .await
            .map_err(|error| self.connect_error(error))?;
        let snapshot = Snapshot::read(&mut connection, &provision::ledgers()).await;
        let step = format!("reading the schema of {}", self.url);
        let snapshot = snapshot.map_err(|error| sql_error::failed(&step, error))?;
        // The snapshot is complete: an error in closing the session changes nothing.
        let _ = connection.close().await;
        Ok(snapshot)
    }

    fn connect_error(&self, error: sqlx::Error) -> Error {
        let (url, place) = (&self.url, self.conn.place());
        let (kind, message, help) = match &error {
            sqlx::Error::Io(_) => (
                ErrorKind::BackendUnavailable,
                format!("no server answers at {place} ({url})"),
                "start the server, or correct the URL",
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
            refused if sql_error::is_access_denied(refused) => (
                ErrorKind::AccessDenied,
                format!("the server rejects the login with {url}"),
                "correct the role or the password in the URL, or allow the role in pg_hba.conf and with \
                 GRANT CONNECT",
            ),
            other if sql_error::is_out_of_connections(other) => {
                return sql_error::failed(&format!("connecting to {place}"), error);
            }
            _ => (
                ErrorKind::BackendUnavailable,
                format!("the server at {place} ({url}) cannot be used"),
                "check that the URL leads to a PostgreSQL server, and that `sslmode` matches the encryption \
                 that the server accepts",
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
        let [expected, found] = [expected, found].map(|version| ComparedDatabase {
            server_version: version.to_owned(),
            ledger: None,
        });
        DriftReport {
            diff,
            expected,
            found,
        }
        .to_string()
    }

    #[test]
    fn a_difference_between_major_versions_comes_with_a_note() {
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
        let note = "PostgreSQL 17.6 and 18beta1 write some definitions differently";
        assert_eq!(
            report("17.6", "18beta1", true),
            format!("{ledgers}{note}\n{missing}")
        );
    }
}
