//! The state of the server and the schema, in plain values.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Harness;
use crate::catalog;
use crate::config::Backend;
use crate::error::Result;
use crate::provision;
use crate::sql_error;

/// The state of a harness's server and schema: for a dashboard, or the first line of a test run. It
/// implements serde's `Serialize`.
///
/// When a step fails, the fields of the steps before it are filled, and [`problem`](Self::problem)
/// holds the error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Where the server comes from.
    pub backend: Option<Backend>,
    /// PostgreSQL's version, as the setting `server_version` has it.
    pub version: Option<String>,
    /// The extensions of the database that tests get, with their versions. `plpgsql`, which is
    /// always there, is left out.
    pub extensions: BTreeMap<String, String>,
    /// The latest version in the database's migration ledger.
    pub ledger_current: Option<String>,
    /// The latest version among the plan's migrations.
    pub ledger_expected: Option<String>,
    /// Whether migrations, seeds and expectations have been verified, and the ledger has the
    /// expected version.
    pub schema_ready: bool,
    /// The first error and its remedy.
    pub problem: Option<String>,
}

impl Harness {
    /// Starts or finds the server, builds or finds the template, and examines a copy of it.
    ///
    /// It returns no error: a failure is reported in [`Health::problem`].
    ///
    /// # Cancel safety
    /// As for [`provision`](Self::provision).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn report() -> ebbtide::Result<()> {
    /// let health = ebbtide::Harness::shared()?.health().await;
    /// println!("{health}");
    /// assert!(health.is_healthy());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn health(&self) -> Health {
        let mut health = Health::default();
        if let Err(error) = self.examine(&mut health).await {
            health.problem = Some(
                error
                    .help()
                    .map_or_else(|| error.to_string(), |help| format!("{error}; {help}")),
            );
        }
        health
    }

    async fn examine(&self, health: &mut Health) -> Result<()> {
        let template_and_lanes = self.template_and_lanes().await?;
        health.backend = Some(template_and_lanes.server.backend);
        health.version = Some(template_and_lanes.server.version.clone());
        health.ledger_expected =
            provision::latest_version(&template_and_lanes.template.below_fixtures().inputs).await?;
        template_and_lanes.template.ensure().await?;
        let mut tx = self.tx().await?;
        let reading = |error| sql_error::failed("reading the extensions", error);
        health.extensions = catalog::installed_extensions(&mut tx)
            .await
            .map_err(reading)?;
        let reading = |error: sqlx::Error| sql_error::failed("reading the ledger", error);
        let claim = catalog::LedgerClaim::read(&mut tx, &provision::ledgers())
            .await
            .map_err(reading)?;
        tx.close().await?;
        health.ledger_current = claim.and_then(|claim| claim.latest);
        health.schema_ready =
            health.ledger_expected.is_none() || health.ledger_current == health.ledger_expected;
        Ok(())
    }
}

impl Health {
    /// Whether the schema is ready and there is no problem.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.schema_ready && self.problem.is_none()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let backend = self
            .backend
            .map(|backend| format!(" ({backend})"))
            .unwrap_or_default();
        let extensions: Vec<String> = self
            .extensions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        writeln!(
            f,
            "{}",
            if self.is_healthy() {
                "healthy"
            } else {
                "unhealthy"
            }
        )?;
        writeln!(f, "PostgreSQL {}{backend}", or_none(&self.version))?;
        writeln!(
            f,
            "extensions: {}",
            if extensions.is_empty() {
                "none".to_owned()
            } else {
                extensions.join(", ")
            }
        )?;
        write!(
            f,
            "ledger: current {}, expected {}",
            or_none(&self.ledger_current),
            or_none(&self.ledger_expected)
        )?;
        match &self.problem {
            Some(problem) => write!(f, "\nproblem: {problem}"),
            None => Ok(()),
        }
    }
}
