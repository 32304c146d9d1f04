//! The state of the server and the schema, in plain values.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use sqlx::postgres::PgConnection;

use super::{Harness, ServerReport};
use crate::catalog::{self, LedgerClaim, RoleRights, TableSecurity};
use crate::error::Result;
use crate::provision::{self, PlanLedger};
use crate::sql_error;

/// The state of a harness's server and schema: for a dashboard, or the first line of a test run.
///
/// When a step fails, the fields of the steps before it are filled, and [`problem`](Self::problem)
/// holds the error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HealthReport {
    /// The server; `None` if it cannot be started.
    pub server: Option<ServerReport>,
    /// The extensions of the database that tests get, with their versions. `plpgsql`, which is
    /// always there, is left out.
    pub extensions: BTreeMap<String, String>,
    /// The ledger of each source of migrations, in the order of the plan, and then every other
    /// migration ledger of that database: for example that of a command, or an old copy.
    pub ledgers: Vec<LedgerHealth>,
    /// Row level security of each table that has it enabled or has a policy.
    pub row_security: Vec<TableSecurity>,
    /// Why the policies do not apply to the tests' role, if so: for example that it is a superuser.
    pub policies_bypassed: Option<String>,
    /// The first error and its remedy. It is an error, too, if a ledger's latest version is not the
    /// expected one.
    pub problem: Option<String>,
}

/// What a migration ledger holds, and what it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LedgerHealth {
    /// The content of the ledger; `None` if the database does not have it.
    pub claim: Option<LedgerClaim>,
    /// The latest version among the files of the source. `None` for a ledger that is not compared:
    /// ebbtide cannot read versions from plain SQL, a command or a function.
    pub expected_latest: Option<String>,
}

impl Harness {
    /// Starts or finds the server, builds or finds the template, and examines a copy of it.
    ///
    /// It returns no error: a failure is reported in [`HealthReport::problem`].
    ///
    /// # Cancel safety
    /// As for [`provision`](Self::provision).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn report() -> ebbtide::Result<()> {
    /// let health = ebbtide::Harness::shared()?.health().await;
    /// println!("{health}");
    /// assert!(health.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn health(&self) -> HealthReport {
        let mut health = HealthReport::default();
        health.problem = match self.examine(&mut health).await {
            Ok(()) => health.ledgers.iter().find_map(LedgerHealth::problem),
            Err(error) => Some(
                error
                    .help()
                    .map_or_else(|| error.to_string(), |help| format!("{error}; {help}")),
            ),
        };
        health
    }

    async fn examine(&self, health: &mut HealthReport) -> Result<()> {
        let template_and_lanes = self.template_and_lanes().await?;
        health.server = Some(ServerReport::of(&template_and_lanes.server));
        let inputs = template_and_lanes.template.below_fixtures().inputs.get()?;
        let expected = provision::plan_ledgers(inputs).await?;
        let without_claim = |ledger: &PlanLedger| LedgerHealth {
            claim: None,
            expected_latest: ledger.expected.latest(),
        };
        health.ledgers = expected.iter().map(without_claim).collect();
        template_and_lanes.template.ensure().await?;
        let mut tx = self.as_administrator().tx().await?;
        let reading = |error| sql_error::failed("reading the extensions", error);
        health.extensions = catalog::installed_extensions(&mut tx)
            .await
            .map_err(reading)?;
        let reading = |error: sqlx::Error| sql_error::failed("reading the ledger", error);
        for (ledger, health) in expected.iter().zip(&mut health.ledgers) {
            health.read(&mut tx, ledger).await.map_err(reading)?;
        }
        let reading_security = |error| sql_error::failed("reading row level security", error);
        let tables = TableSecurity::read_all(&mut tx).await;
        health.row_security = tables.map_err(reading_security)?;
        health
            .row_security
            .retain(|table| table.is_enabled || table.policies > 0);
        let claims = LedgerClaim::read_all(&mut tx, &provision::ledgers()).await;
        for claim in claims.map_err(reading)? {
            if !health.ledgers.iter().any(|it| it.table() == claim.table) {
                health.ledgers.push(LedgerHealth {
                    claim: Some(claim),
                    expected_latest: None,
                });
            }
        }
        tx.close().await?;
        // In a session of the tests' own role, which must be able to log in.
        let mut tx = self.tx().await?;
        let rights = RoleRights::of_session(&mut tx).await;
        health.policies_bypassed = rights.map_err(reading_security)?.bypasses;
        tx.close().await
    }
}

impl HealthReport {
    /// Whether there is no problem: migrations, seeds and expectations are verified, and the ledger
    /// has the expected version.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problem.is_none()
    }
}

impl LedgerHealth {
    /// Reads the claim. A migration can move the ledger and leave the older rows in the old one, so a
    /// claim with the expected version comes first, and then one with rows.
    async fn read(
        &mut self,
        connection: &mut PgConnection,
        ledger: &PlanLedger,
    ) -> Result<(), sqlx::Error> {
        let mut claims = Vec::new();
        for place in catalog::places(connection, ledger.expected.table()).await? {
            claims.push(LedgerClaim::of_table(connection, ledger.layout, &place).await?);
        }
        self.claim = claims.into_iter().min_by_key(|claim| {
            let is_expected = claim.latest == self.expected_latest;
            (!is_expected, claim.latest.is_none())
        });
        Ok(())
    }

    /// The problem if the ledger's latest version is not the expected one. The build has compared
    /// them, but seeds and fixtures run after that.
    fn problem(&self) -> Option<String> {
        let (current, expected) = (self.current_latest(), self.expected_latest.as_deref()?);
        (current != Some(expected)).then(|| {
            format!(
                "the latest version in {} is {}, expected {expected}; seeds and fixtures must not \
                 change the ledger",
                self.table(),
                current.unwrap_or("none")
            )
        })
    }

    fn table(&self) -> &str {
        self.claim.as_ref().map_or("the ledger", |it| &it.table)
    }

    fn current_latest(&self) -> Option<&str> {
        self.claim.as_ref()?.latest.as_deref()
    }
}

impl fmt::Display for LedgerHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: current {}, expected {}",
            self.table(),
            self.current_latest().unwrap_or("none"),
            self.expected_latest.as_deref().unwrap_or("none")
        )
    }
}

impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_clean() {
            "healthy"
        } else {
            "unhealthy"
        };
        writeln!(f, "{verdict}")?;
        match &self.server {
            Some(server) => writeln!(
                f,
                "PostgreSQL {} ({})",
                server.server_version, server.backend
            )?,
            None => writeln!(f, "PostgreSQL none")?,
        }
        let extensions: Vec<String> = self
            .extensions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        let extensions = if extensions.is_empty() {
            "none".to_owned()
        } else {
            extensions.join(", ")
        };
        write!(f, "extensions: {extensions}")?;
        for ledger in &self.ledgers {
            write!(f, "\n{ledger}")?;
        }
        let secured: Vec<&str> = self
            .row_security
            .iter()
            .map(|table| table.table.as_str())
            .collect();
        if !secured.is_empty() {
            write!(f, "\nrow level security: {}", secured.join(", "))?;
        }
        if let Some(reason) = &self.policies_bypassed {
            write!(f, "\nits policies do not apply to the tests: {reason}")?;
        }
        match &self.problem {
            Some(problem) => write!(f, "\nproblem: {problem}"),
            None => Ok(()),
        }
    }
}
