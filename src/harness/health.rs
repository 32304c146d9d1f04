//! The state of the server and the schema, in plain values.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Harness, ServerReport};
use crate::catalog::{self, LedgerClaim};
use crate::error::Result;
use crate::provision;
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
    /// The claim of that database's migration ledger, if it has one.
    pub ledger: Option<LedgerClaim>,
    /// The latest version among the plan's migrations. `None` without migrations, and for plain SQL,
    /// a command and a function, whose migrations have no versions that ebbtide can read.
    pub expected_latest: Option<String>,
    /// The first error and its remedy. It is an error, too, if the ledger's latest version is not
    /// the expected one.
    pub problem: Option<String>,
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
            Ok(()) => health.unexpected_latest(),
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
        health.expected_latest =
            provision::latest_version(&template_and_lanes.template.below_fixtures().inputs).await?;
        template_and_lanes.template.ensure().await?;
        let mut tx = self.tx().await?;
        let reading = |error| sql_error::failed("reading the extensions", error);
        health.extensions = catalog::installed_extensions(&mut tx)
            .await
            .map_err(reading)?;
        let reading = |error: sqlx::Error| sql_error::failed("reading the ledger", error);
        let claims = LedgerClaim::read_all(&mut tx, &provision::ledgers())
            .await
            .map_err(reading)?;
        // A migration can move the ledger and leave the older rows in the old one.
        let has_expected = |claim: &&LedgerClaim| claim.latest == health.expected_latest;
        let claim = claims.iter().find(has_expected).or(claims.first());
        health.ledger = claim.cloned();
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

    /// The problem if the ledger's latest version is not the expected one. The build has compared
    /// them, but seeds and fixtures run after that.
    fn unexpected_latest(&self) -> Option<String> {
        let (current, expected) = (self.current_latest(), self.expected_latest.as_deref()?);
        (current != Some(expected)).then(|| {
            format!(
                "the ledger's latest version is {}, expected {expected}; seeds and fixtures must \
                 not change the ledger",
                current.unwrap_or("none")
            )
        })
    }

    fn current_latest(&self) -> Option<&str> {
        self.ledger.as_ref()?.latest.as_deref()
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
        writeln!(f, "extensions: {extensions}")?;
        write!(
            f,
            "ledger: current {}, expected {}",
            self.current_latest().unwrap_or("none"),
            self.expected_latest.as_deref().unwrap_or("none")
        )?;
        match &self.problem {
            Some(problem) => write!(f, "\nproblem: {problem}"),
            None => Ok(()),
        }
    }
}
