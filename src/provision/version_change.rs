//! Applies or reverts migrations in a database that already has some.
//!
//! ```text
//! the ledgers are as ebbtide left them
//!   |-- forward: apply the rest of each source, a session for each, as for an empty database
//!   |-- back:    every migration to revert has a way down --> revert them, the last one first
//!   v
//! the ledger has the rows of the new place, and the tables of the applied files exist
//! ```
//!
//! The place moves after each migration. So it is true after a failure, too, and the error states
//! it.

use std::fmt;
use std::time::Instant;

use serde::Serialize;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::extension_statements;
use super::inputs::{Inputs, MigrationInputs};
use super::migrate::{self, MigrationContext};
use super::migration_place::MigrationPlace;
use super::owner::{self, AbsentObject};
use super::provision_report::MigrationReport;
use super::refused_statement::NOTHING_KEPT;
use super::scripts::Scripts;
use super::sql_script::Script;
use super::target::Target;
use super::verify;
use super::version_errors::{irreversible, name_of, not_revertible};
use crate::catalog::LedgerClaim;
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// The migrations that ran when a database came to another version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VersionChange {
    /// The applied migrations, in the order in which they ran.
    pub applied: Vec<MigrationReport>,
    /// The reverted migrations, in the order in which they ran: the latest version first.
    pub reverted: Vec<MigrationReport>,
    /// What was skipped in SQL files, one line each. See [SQL files](crate#sql-files).
    pub notes: Vec<String>,
}

impl fmt::Display for VersionChange {
    /// The versions: `applied 42, 43`, `reverted 43, 42`, or `nothing ran`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("applied", &self.applied), ("reverted", &self.reverted)];
        let mut between = "";
        for (verb, migrations) in parts.iter().filter(|(_, it)| !it.is_empty()) {
            let name = |it: &MigrationReport| it.version.clone().unwrap_or(it.description.clone());
            let names: Vec<String> = migrations.iter().map(name).collect();
            write!(f, "{between}{verb} {}", names.join(", "))?;
            between = ", ";
        }
        if between.is_empty() {
            f.write_str("nothing ran")?;
        }
        Ok(())
    }
}

/// A change of a database's version while it runs.
struct Changing<'a> {
    target: Target<'a>,
    plan: &'a Plan,
    inputs: &'a Inputs,
    scripts: &'a Scripts,
    progress: &'a Progress,
    connection: PgConnection,
    change: VersionChange,
}

/// Applies or reverts migrations until the database is at the place `to`. `at` follows each
/// migration.
///
/// # Errors
/// - `LedgerMismatch`: the ledger is not as ebbtide left it, or not as the files require it
///   afterwards.
/// - `MigrationSource`: a migration to revert has no way down. None was reverted then.
/// - `Migration`, `Timeout`: a migration failed. Those before it remain applied or reverted.
pub(crate) async fn change_version(
    target: Target<'_>,
    plan: &Plan,
    inputs: &Inputs,
    at: &mut MigrationPlace,
    to: &MigrationPlace,
    progress: &Progress,
) -> Result<VersionChange> {
    if to.is_before(at) {
        check_ways_down(inputs, at, to)?;
    }
    let scripts = Scripts::read(inputs)?;
    extension_statements::check(&plan.extensions, scripts.all())?;
    let mut changing = Changing {
        target,
        plan,
        inputs,
        scripts: &scripts,
        progress,
        connection: target.conn.connect(target.database).await?,
        change: VersionChange::default(),
    };
    changing.check_ledgers(at).await?;
    let changed = if to.is_before(at) {
        changing.revert(at, to).await
    } else {
        changing.apply(at, to).await
    };
    if changed.is_err() {
        // The failed migration's transaction may still be open. The test must not wait for its
        // locks, so it ends here. If the session is gone, so is the transaction.
        let _ = sqlx::raw_sql("rollback")
            .execute(&mut changing.connection)
            .await;
    }
    // The privileges cover the objects that the migrations created. A database that is not at the
    // last version may lack some of those that the plan names.
    let changed = match changed {
        Ok(()) if owner::has_grants(plan) => {
            let is_last = *at == inputs.end();
            changing.connection = target.own_session(changing.connection).await?;
            let absent = if is_last {
                AbsentObject::Refuse
            } else {
                AbsentObject::Skip
            };
            owner::grant(&mut changing.connection, plan, absent).await
        }
        other => other,
    };
    // Everything is committed or rolled back, so an error while closing changes nothing.
    let _ = changing.connection.close().await;
    let place = inputs.label(at);
    changed.map_err(|error| {
        let error = error.with_evidence("the database is now at", place);
        // The test keeps its database, with the migrations before the one that failed.
        match error
            .help()
            .and_then(|help| help.strip_suffix(NOTHING_KEPT))
        {
            Some(help) => {
                let help = help.to_owned();
                error.with_help(help)
            }
            None => error,
        }
    })?;
    Ok(changing.change)
}

impl Changing<'_> {
    fn context<'c>(&'c mut self, scripts: &'c [Script]) -> MigrationContext<'c> {
        MigrationContext {
            connection: &mut self.connection,
            target: self.target,
            scripts,
            all_scripts: self.scripts.all(),
            applied: Vec::new(),
            timeout: *self.plan.provision_timeout.get(),
            progress: self.progress,
            notes: &mut self.change.notes,
        }
    }

    /// Checks that the ledger of each source has the rows that this database had at this place. A
    /// test that migrates with another tool as well would otherwise apply migrations twice, or none.
    async fn check_ledgers(&mut self, at: &MigrationPlace) -> Result<()> {
        let until = self.inputs.migrations.len().min(at.source + 1);
        for (index, source) in self.inputs.migrations[..until].iter().enumerate() {
            let done = if index == at.source {
                at.done
            } else {
                source.versions().len()
            };
            if done == 0 {
                continue;
            }
            let part = source.part(done, done);
            let checked = verify::verify_source(&mut self.connection, self.plan, &part, &[]).await;
            checked.map_err(|error| {
                error
                    .with_evidence("ebbtide left the database at", self.inputs.label(at))
                    .with_help(
                        "let either ebbtide or the tool itself migrate this database: after \
                         `migrate` or `migrate_to`, and before it, no other code may write the \
                         ledger",
                    )
            })?;
        }
        Ok(())
    }

    /// Applies the rest of each source up to `to`.
    async fn apply(&mut self, at: &mut MigrationPlace, to: &MigrationPlace) -> Result<()> {
        while at != to {
            let inputs = self.inputs;
            let source = &inputs.migrations[at.source];
            let is_last = at.source == to.source;
            let end = if is_last {
                to.clone()
            } else {
                MigrationPlace::before_source(at.source + 1)
            };
            let part = match source.source.tool() {
                Some(_) if is_last => source.part(at.done, to.done),
                Some(_) => source.part(at.done, source.versions().len()),
                None => source.at_revision(end.revision.as_deref()),
            };
            let scripts = part.scripts()?;
            let before = self.claim_before(at, &end).await?;
            let plan = self.plan;
            let mut context = self.context(&scripts);
            let migrated = migrate::migrate(&mut context, plan, &part).await;
            let applied = std::mem::take(&mut context.applied);
            match migrated {
                Ok(migrations) => self.change.applied.extend(migrations),
                Err(error) => {
                    at.done += applied.len();
                    return Err(error);
                }
            }
            *at = end;
            let applied: Vec<&Script> = applied.iter().map(|it| &scripts[*it]).collect();
            self.next_session().await?;
            verify::verify_source(&mut self.connection, plan, &part, &applied).await?;
            if let Some(before) = before {
                self.refuse_unchanged(&part, &before).await?;
            }
        }
        Ok(())
    }

    /// The ledger's claim, if a command will go from one revision to another one. Only its tool has
    /// the order of the revisions.
    async fn claim_before(
        &mut self,
        at: &MigrationPlace,
        end: &MigrationPlace,
    ) -> Result<Option<LedgerClaim>> {
        if at.revision.is_none() || end.revision.is_none() {
            return Ok(None);
        }
        migrate::ledger_claim(&mut self.connection).await
    }

    /// Refuses a command that has changed nothing, because the revision is not a later one.
    async fn refuse_unchanged(
        &mut self,
        source: &MigrationInputs,
        before: &LedgerClaim,
    ) -> Result<()> {
        let after = migrate::ledger_claim(&mut self.connection).await?;
        if after.as_ref() != Some(before) {
            return Ok(());
        }
        let message = format!("{} ran, and still {before}", name_of(source));
        Err(Error::new(ErrorKind::LedgerMismatch, message).with_help(
            "a command only migrates forward: name a later revision, or begin at this one with \
             migrations_up_to",
        ))
    }

    /// Reverts the migrations of each source down to `to`.
    async fn revert(&mut self, at: &mut MigrationPlace, to: &MigrationPlace) -> Result<()> {
        let inputs = self.inputs;
        for index in (to.source..inputs.migrations.len().min(at.source + 1)).rev() {
            let source = &inputs.migrations[index];
            let (begin, end) = range_of(source, index, at, to);
            let Some(reversals) = source.source.tool().and_then(|tool| tool.reversals) else {
                continue;
            };
            if begin >= end {
                continue;
            }
            *at = MigrationPlace {
                done: end,
                ..MigrationPlace::before_source(index)
            };
            let part = source.part(end, end);
            let scripts = part.scripts()?;
            let mut reverted = Vec::new();
            let mut context = self.context(&scripts);
            let migrations = reversals(&mut context, &part).await?;
            for migration in migrations[begin..end].iter().rev() {
                let start = Instant::now();
                migration.down(&mut context).await?;
                at.done -= 1;
                reverted.push(MigrationReport {
                    version: Some(migration.version().to_owned()),
                    description: migration.description().to_owned(),
                    took: start.elapsed(),
                });
            }
            self.change.reverted.extend(reverted);
            self.next_session().await?;
            let part = source.part(begin, begin);
            verify::verify_source(&mut self.connection, self.plan, &part, &[]).await?;
        }
        *at = to.clone();
        Ok(())
    }

    /// Each source has a session of its own, as if its tool had run.
    async fn next_session(&mut self) -> Result<()> {
        self.target.replace_session(&mut self.connection).await
    }
}

/// Which migrations of a source are reverted: those after the first `begin` of `end` applied ones.
fn range_of(
    source: &MigrationInputs,
    index: usize,
    at: &MigrationPlace,
    to: &MigrationPlace,
) -> (usize, usize) {
    let begin = if index == to.source { to.done } else { 0 };
    let end = if index == at.source {
        at.done
    } else {
        source.versions().len()
    };
    (begin, end)
}

/// Checks that every migration to revert has a way down, before the first is reverted.
fn check_ways_down(inputs: &Inputs, at: &MigrationPlace, to: &MigrationPlace) -> Result<()> {
    let label = inputs.label(to);
    for index in to.source..inputs.migrations.len().min(at.source + 1) {
        let source = &inputs.migrations[index];
        let (begin, end) = range_of(source, index, at, to);
        let Some(tool) = source.source.tool() else {
            // A source that has not begun leaves nothing to revert.
            if index < at.source || at.revision.is_some() {
                return Err(not_revertible(source, &label));
            }
            continue;
        };
        if begin >= end {
            continue;
        }
        if tool.reversals.is_none() {
            return Err(not_revertible(source, &label));
        }
        let mut versions = source.versions()[begin..end].to_vec();
        versions.retain(|version| !source.has_way_down(version));
        if !versions.is_empty() {
            return Err(irreversible(source, &versions, &label));
        }
    }
    Ok(())
}
