//! Whether the migrations can be undone: up, down and up again, with a look at the catalog each time.

use std::fmt;

use serde::Serialize;
use sqlx::postgres::PgConnection;

use super::extensions;
use super::inputs::Inputs;
use super::migrate::{self, Site};
use super::target::Target;
use crate::catalog::{Schema, SchemaDiff};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::sql_error;

/// What came of taking each migration up, down and up again, in the order of the versions.
///
/// `Display` lists what a way down has left, or has taken too much of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReversibleReport {
    /// The migrations that were looked at.
    pub steps: Vec<ReversibleStep>,
    /// How many were not, because one before them cannot be applied a second time.
    pub unchecked: usize,
}

/// What came of one migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReversibleStep {
    /// The version, as in the file's name.
    pub version: String,
    /// The description, as in the file's name.
    pub description: String,
    /// Whether there is a way down. A migration without one is applied, and nothing is asked of it.
    pub reversible: bool,
    /// After the way down, compared with what was there before the way up: `extra` is what it left, `missing` what it
    /// took that it should have left alone.
    pub after_down: SchemaDiff,
    /// After the second way up, compared with what was there after the first.
    pub after_up: SchemaDiff,
    /// Why the migration could not be applied a second time.
    pub up_refused: Option<String>,
}

impl ReversibleReport {
    /// Whether every way down leads back, and every way up leads to the same a second time.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unchecked == 0 && self.steps.iter().all(ReversibleStep::is_clean)
    }
}

impl ReversibleStep {
    /// Whether up, down and up lead where they should. A migration without a way down is clean.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.after_down.is_empty() && self.after_up.is_empty() && self.up_refused.is_none()
    }
}

impl fmt::Display for ReversibleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reversible = self.steps.iter().filter(|step| step.reversible).count();
        let broken = self.steps.iter().filter(|step| !step.is_clean()).count();
        write!(
            f,
            "{reversible} of {} migrations have a way down, {broken} of them broken",
            self.steps.len() + self.unchecked
        )?;
        for step in self.steps.iter().filter(|step| !step.is_clean()) {
            write!(f, "\n{step}")?;
        }
        if self.unchecked > 0 {
            write!(
                f,
                "\nnot looked at, because they come after it: {}",
                self.unchecked
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ReversibleStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "migration {} ({}): ", self.version, self.description)?;
        if self.is_clean() {
            return f.write_str(if self.reversible {
                "up, down and up lead back"
            } else {
                "no way down"
            });
        }
        let mut between = "";
        if !self.after_down.is_empty() {
            write!(
                f,
                "down does not lead back to what was there before up\n{}",
                indented(&self.after_down)
            )?;
            between = "\n  ";
        }
        if !self.after_up.is_empty() {
            write!(
                f,
                "{between}up leads elsewhere the second time\n{}",
                indented(&self.after_up)
            )?;
            between = "\n  ";
        }
        if let Some(refused) = &self.up_refused {
            write!(f, "{between}up is refused the second time: {refused}")?;
        }
        Ok(())
    }
}

fn indented(diff: &SchemaDiff) -> String {
    diff.to_string()
        .lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Applies, reverts and applies each migration of an empty database.
pub(crate) async fn check_reversible(
    connection: &mut PgConnection,
    target: Target<'_>,
    plan: &Plan,
    inputs: &Inputs,
    progress: &Progress,
) -> Result<ReversibleReport> {
    let scripts = inputs.migration_scripts()?;
    let Some(migrator) = migrate::resolve(inputs).await? else {
        return Err(Error::new(
            ErrorKind::Config,
            "there are no migrations of sqlx that could be undone",
        )
        .with_help("name a directory of sqlx migrations as `migrations`"));
    };
    progress.say("installing extensions");
    extensions::install(connection, &plan.extensions).await?;
    let mut site = Site {
        connection,
        target,
        scripts: &scripts,
        limit: *plan.provision_timeout.get(),
        progress,
    };
    let migrations = migrate::reversals(&mut site, &migrator).await?;
    let mut report = ReversibleReport::default();
    let mut before = read(site.connection).await?;
    for migration in &migrations {
        migration.up(&mut site).await?;
        let mut now = read(site.connection).await?;
        let mut step = ReversibleStep {
            version: migration.version.to_string(),
            description: migration.description.to_owned(),
            reversible: migration.down(&mut site).await?,
            after_down: SchemaDiff::default(),
            after_up: SchemaDiff::default(),
            up_refused: None,
        };
        if step.reversible {
            step.after_down = before.compare(&read(site.connection).await?);
            match migration.up(&mut site).await {
                Ok(()) => {
                    let again = read(site.connection).await?;
                    step.after_up = now.compare(&again);
                    now = again;
                }
                Err(refused) if !step.after_down.is_empty() => {
                    step.up_refused = Some(refused.to_string())
                }
                Err(error) => return Err(error),
            }
        }
        let stuck = step.up_refused.is_some();
        report.steps.push(step);
        if stuck {
            report.unchecked = migrations.len() - report.steps.len();
            break;
        }
        before = now;
    }
    Ok(report)
}

async fn read(connection: &mut PgConnection) -> Result<Schema> {
    // A migration may have changed the settings of this very session.
    let reset = sqlx::raw_sql("reset all").execute(&mut *connection).await;
    reset.map_err(|error| sql_error::failed("resetting the session", error))?;
    Schema::read(connection).await
}
