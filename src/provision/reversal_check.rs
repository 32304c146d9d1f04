//! Checks whether the migrations can be reverted. It applies, reverts and re-applies each
//! migration, and compares the catalog after each step.
//!
//! ```text
//! before --up--> after_first_up --down--> must equal before --up--> must equal after_first_up
//! ```
//!
//! The next migration starts from the result of the second up. A refused down is a finding, and the
//! next migration starts from the result of the first up. If the second up is refused, or a refused
//! down has changed a part of the schema, the check ends there: the later migrations build on this
//! one.

use std::fmt;

use serde::Serialize;
use sqlx::postgres::PgConnection;

use super::extensions;
use super::inputs::{Inputs, MigrationInputs};
use super::migrate::{self, MigrationContext, Reversal, tools};
use super::owner::{DatabaseOwner, hand_over};
use super::scripts::Scripts;
use super::target::Target;
use crate::catalog::{Aspect, Schema, SchemaDiff};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::sql_error;

/// The result of applying, reverting and re-applying each migration, in the order of the versions.
///
/// `Display` lists what each down migration left behind or removed by mistake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReversibleReport {
    /// The migrations that were applied, in the order of the versions.
    pub migrations: Vec<ReversibleStep>,
    /// The number of migrations that were not applied, because the schema before them could not be
    /// restored.
    pub unchecked: u64,
}

/// The result of one migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReversibleStep {
    /// The version, as in the file's name.
    pub version: String,
    /// The description, as in the file's name.
    pub description: String,
    /// Whether there is a down migration. A migration without one is applied once, and not checked.
    pub reversible: bool,
    /// The error of the down migration. `None` if it succeeded, or if there is none.
    pub down_refused: Option<String>,
    /// The schema after down, compared with the schema before up. `extra` is what the down
    /// migration left behind, and `missing` is what it removed by mistake.
    pub after_down: SchemaDiff,
    /// The schema after the second up, compared with the schema after the first.
    pub after_up: SchemaDiff,
    /// The error of the second up. `None` if it succeeded, or if there was none.
    pub up_refused: Option<String>,
}

impl ReversibleReport {
    /// Whether every migration was checked, every down restores the schema, and every second up
    /// makes the same schema as the first.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unchecked == 0 && self.migrations.iter().all(ReversibleStep::is_clean)
    }
}

impl ReversibleStep {
    /// Whether down restores the schema and the second up makes the same schema as the first. A
    /// migration without a down migration is clean.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.down_refused.is_none()
            && self.after_down.is_clean()
            && self.after_up.is_clean()
            && self.up_refused.is_none()
    }
}

impl fmt::Display for ReversibleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reversible = self
            .migrations
            .iter()
            .filter(|step| step.reversible)
            .count();
        let broken = self
            .migrations
            .iter()
            .filter(|step| !step.is_clean())
            .count();
        write!(
            f,
            "{reversible} of {} migrations have a down migration, {broken} of them broken",
            self.migrations.len() as u64 + self.unchecked
        )?;
        for step in self.migrations.iter().filter(|step| !step.is_clean()) {
            write!(f, "\n{step}")?;
        }
        if self.unchecked > 0 {
            write!(
                f,
                "\n{} not checked, because the schema before them could not be restored",
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
                "up, down and up restore the same schema"
            } else {
                "no down migration"
            });
        }
        let mut between = "";
        if let Some(refused) = &self.down_refused {
            write!(f, "down is refused: {refused}")?;
            between = "\n  ";
        }
        if !self.after_down.is_clean() {
            write!(
                f,
                "{between}down does not restore the schema from before up\n{}",
                indented(&self.after_down)
            )?;
            between = "\n  ";
        }
        if !self.after_up.is_clean() {
            write!(
                f,
                "{between}the second up makes a different schema\n{}",
                indented(&self.after_up)
            )?;
            between = "\n  ";
        }
        if let Some(refused) = &self.up_refused {
            write!(f, "{between}the second up is refused: {refused}")?;
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

/// Applies, reverts and re-applies each migration in an empty database.
///
/// # Errors
/// The migrations cannot be reverted, an extension is missing, or a first up is refused. A refused
/// down or second up is an entry of the report instead.
pub(crate) async fn check_reversible<'a>(
    mut connection: PgConnection,
    mut target: Target<'a>,
    plan: &Plan,
    mut owner: Option<DatabaseOwner<'a>>,
    inputs: &Inputs,
    progress: &Progress,
) -> Result<ReversibleReport> {
    let scripts = Scripts::read(inputs)?;
    let can_revert = |source: &MigrationInputs| {
        source
            .source
            .tool()
            .is_some_and(|it| it.reversals.is_some())
    };
    if !inputs.migrations.iter().any(can_revert) {
        return Err(not_reversible());
    }
    // Without a down migration the report would be clean after a check of nothing.
    if !inputs.migrations.iter().any(MigrationInputs::has_down) {
        return Err(no_down(inputs));
    }
    progress.set_step("installing extensions");
    extensions::install(&mut connection, &plan.extensions).await?;
    let mut report = ReversibleReport::default();
    for (source, scripts_of_source) in scripts.by_source(inputs) {
        if !source.is_bootstrap() {
            connection = hand_over(&mut owner, connection, &mut target).await?;
        }
        let mut context = MigrationContext {
            connection: &mut connection,
            target,
            scripts: scripts_of_source,
            all_scripts: scripts.all(),
            applied: Vec::new(),
            timeout: *plan.provision_timeout.get(),
            progress,
            notes: &mut Vec::new(),
        };
        match source.source.tool().and_then(|tool| tool.reversals) {
            Some(reversals) => {
                let migrations = reversals(&mut context, source).await?;
                let checked = report.migrations.len();
                let progressed = check_source(&mut context, &migrations, &mut report).await?;
                if progressed == Progressed::Stuck {
                    let done = report.migrations.len() - checked;
                    report.unchecked = (migrations.len() - done) as u64;
                    return Ok(report);
                }
            }
            // The later sources build on this one.
            None => migrate::migrate(&mut context, plan, source)
                .await
                .map(drop)?,
        }
        connection = target.new_session(connection).await?;
    }
    Ok(report)
}

/// Checks the migrations of one source, in the order of the versions.
async fn check_source(
    context: &mut MigrationContext<'_>,
    migrations: &[Reversal<'_>],
    report: &mut ReversibleReport,
) -> Result<Progressed> {
    let mut before = read_schema(context.connection).await?;
    for migration in migrations {
        migration.up(context).await?;
        let mut now = read_schema(context.connection).await?;
        let mut step = ReversibleStep {
            version: migration.version().to_owned(),
            description: migration.description().to_owned(),
            reversible: migration.has_down(),
            down_refused: None,
            after_down: SchemaDiff::default(),
            after_up: SchemaDiff::default(),
            up_refused: None,
        };
        let mut is_stuck = false;
        if step.reversible {
            step.down_refused = refusal(migration.down(context).await, context).await?;
            let reverted = read_schema(context.connection).await?;
            if step.down_refused.is_none() {
                step.after_down = before.compare(&reverted);
                step.up_refused = refusal(migration.up(context).await, context).await?;
                if step.up_refused.is_none() {
                    let again = read_schema(context.connection).await?;
                    step.after_up = now.compare(&again);
                    now = again;
                }
            } else if reverted != now {
                // It ran outside of a transaction and changed a part. The ledger still lists the
                // migration, so a second up is not possible.
                step.after_down = before.compare(&reverted);
                is_stuck = true;
            }
            is_stuck |= step.up_refused.is_some();
        }
        report.migrations.push(step);
        if is_stuck {
            return Ok(Progressed::Stuck);
        }
        before = now;
    }
    Ok(Progressed::ToTheEnd)
}

/// Whether every migration of a source could be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progressed {
    ToTheEnd,
    /// The schema that the later migrations build on could not be restored.
    Stuck,
}

/// The text of a refusal, which is a finding. Any other error ends the check.
///
/// The failed statement's transaction may still be open.
async fn refusal(result: Result<()>, context: &mut MigrationContext<'_>) -> Result<Option<String>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Migration => {
            context.run("rollback").await?;
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

fn no_down(inputs: &Inputs) -> Error {
    let count: usize = inputs
        .migrations
        .iter()
        .map(|source| source.files.len())
        .sum();
    Error::new(
        ErrorKind::Config,
        format!("at least one migration must have a down migration, but none of {count} has one"),
    )
    .with_help(
        "write the down migrations: VERSION_description.down.sql beside .up.sql for sqlx, down.sql \
         beside up.sql for diesel, or statements below the line `-- migrate:down` (dbmate), \
         `-- +goose Down` or `-- +migrate Down` (sql-migrate)",
    )
}

fn not_reversible() -> Error {
    let mut tools: Vec<String> = tools::directories()
        .filter(|tool| tool.reversals.is_some())
        .map(|tool| tool.layout.to_string())
        .collect();
    let last = tools.pop().unwrap_or_default();
    let tools = format!("{} or {last}", tools.join(", "));
    Error::new(
        ErrorKind::Config,
        format!("only {tools} migrations can be reverted, and this plan has none"),
    )
    .with_help(format!(
        "set `migrations` to a directory of {tools} migrations"
    ))
}

/// The schema, read with the settings that a new session has. Without the order of the columns:
/// `ADD COLUMN` cannot restore it.
async fn read_schema(connection: &mut PgConnection) -> Result<Schema> {
    // A migration may have changed the settings of this session, such as the search path.
    let reset = sqlx::raw_sql("reset all").execute(&mut *connection).await;
    reset.map_err(|error| sql_error::failed("resetting the session", error))?;
    let schema = Schema::read(connection).await?;
    Ok(schema.without(Aspect::ColumnOrder))
}
