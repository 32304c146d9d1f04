//! Applies the plan to an empty database, and checks the result.
//!
//! It needs an open connection only, and does not depend on the backend.
//!
//! ```text
//! extensions -> bootstrap -> migrations -> verification -> seeds -> expectations
//! ```
//!
//! With an owner, the sessions from the first migration to the last seed log in as that role.
//!
//! Each arrow is passed only if the phase before it succeeded. A failed phase undoes nothing: the
//! caller drops the whole database. A new session begins after each source of migrations and after
//! each seed, because a session keeps the settings with which it began.

mod claims;
mod creators;
mod dir_entries;
mod direction;
mod dynamic_sql;
mod each_version;
mod effect;
mod expectation_check;
mod extension_help;
mod extension_statements;
mod extensions;
mod fingerprint;
mod foreign_tools;
mod format;
mod input_file;
mod inputs;
mod inputs_memo;
mod inserted_rows;
mod invisible;
mod layout;
mod markers;
mod mention;
mod migrate;
mod migration_place;
mod observed;
mod own_statement;
mod owner;
mod plan_inputs;
mod provision_report;
mod psql;
mod reading;
mod refused_statement;
mod relation;
mod reversal_check;
mod scripts;
mod security_check;
mod seed;
mod seed_files;
mod server_wide;
mod session_change;
mod sql_script;
mod statement_help;
mod stray_files;
mod target;
mod timed_out;
mod verify;
mod version_change;
mod version_errors;
mod version_number;
mod versions;

use std::collections::BTreeSet;
use std::time::Instant;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::catalog;
use crate::config::Plan;
use crate::error::Result;
use crate::progress::Progress;
use crate::sql_error;

pub use each_version::VersionStep;
pub(crate) use each_version::{VersionCheck, each_version};
pub(crate) use extensions::{extensions_needing_superuser, superuser_required};
pub(crate) use format::FORMAT;
pub(crate) use input_file::InputFile;
pub(crate) use inputs::Inputs;
use inputs::{MigrationInputs, MigrationSource};
use invisible::Invisible;
pub(crate) use migrate::{PlanLedger, ledgers, plan_ledgers};
pub(crate) use migration_place::MigrationPlace;
pub(crate) use owner::DatabaseOwner;
use owner::{AbsentObject, hand_over};
pub(crate) use plan_inputs::PlanInputs;
pub use provision_report::{MigrationReport, PhaseReport, ProvisionReport, SeedReport};
pub(crate) use reversal_check::check_reversible;
pub use reversal_check::{ReversibleReport, ReversibleStep};
use scripts::Scripts;
use sql_script::Script;
pub(crate) use target::Target;
pub use version_change::VersionChange;
pub(crate) use version_change::change_version;

/// Runs every phase in order. A phase starts only after the one before it has succeeded.
///
/// It replaces the given session (see [`Target::new_session`]). On success the last session is
/// closed; on failure the caller drops the database, which also ends the session.
pub(crate) async fn provision<'a>(
    mut connection: PgConnection,
    administrative: Target<'a>,
    plan: &Plan,
    mut owner: Option<DatabaseOwner<'a>>,
    inputs: &Inputs,
    progress: &Progress,
) -> Result<ProvisionReport> {
    let mut target = administrative;
    let mut report = ProvisionReport::default();
    let mut clock = PhaseClock {
        report: &mut report,
        phase_start: Instant::now(),
    };

    progress.set_step("installing extensions");
    let scripts = Scripts::read(inputs)?;
    extension_statements::check(&plan.extensions, scripts.all())?;
    extensions::install(&mut connection, &plan.extensions).await?;
    clock.finish("extensions");

    let timeout = *plan.provision_timeout.get();
    let mut tables_before = BTreeSet::new();
    let mut notes = Vec::new();
    let mut applied: Vec<&Script> = Vec::new();
    for (source, scripts_of_source) in scripts.by_source(inputs) {
        let is_bootstrap = source.is_bootstrap();
        if !is_bootstrap {
            connection = hand_over(&mut owner, connection, &mut target).await?;
        }
        progress.set_step(if is_bootstrap {
            "bootstrapping"
        } else {
            "migrating"
        });
        note_oddities(source, scripts_of_source, progress);
        let mut context = migrate::MigrationContext {
            connection: &mut connection,
            target,
            scripts: scripts_of_source,
            all_scripts: scripts.all(),
            applied: Vec::new(),
            timeout,
            progress,
            notes: &mut notes,
        };
        let migrations = migrate::migrate(&mut context, plan, source).await?;
        applied.extend(context.applied.iter().map(|at| &scripts_of_source[*at]));
        clock
            .report
            .not_applied
            .extend_from_slice(&source.not_applied);
        // Each source has a session of its own, as if its tool had run. `ALTER DATABASE .. SET` and
        // `ALTER ROLE .. SET` apply to new sessions only.
        connection = target.new_session(connection).await?;
        if is_bootstrap {
            tables_before = verify::table_names(&mut connection).await?;
            clock.finish("bootstrap");
        } else {
            clock.report.migrations.extend(migrations);
        }
    }
    connection = hand_over(&mut owner, connection, &mut target).await?;
    if owner::has_grants(plan) {
        connection = target.own_session(connection).await?;
        owner::grant(&mut connection, plan, AbsentObject::of(inputs)).await?;
        connection = target.new_session(connection).await?;
    }
    clock.finish("migrations");

    progress.set_step("verifying");
    let migrated = verify::Migrated {
        scripts: &scripts,
        applied: &applied,
        tables_before: &tables_before,
    };
    verify::verify(&mut connection, plan, inputs, migrated).await?;
    clock.finish("verification");

    let seeded = seed::seed(connection, target, inputs, timeout, progress).await?;
    notes.extend(seeded.notes);
    for note in &notes {
        progress.note(note);
    }
    let so_far = clock.finish("seeds");
    so_far.seeds = seeded.reports;
    so_far.notes = notes;

    connection = seeded.connection;
    if plan.owner.is_some() {
        // Row level security may hide rows from the owner.
        connection = administrative.new_session(connection).await?;
    }
    progress.set_step("checking the expectations");
    expectation_check::check(&mut connection, &plan.expect).await?;
    describe(&mut connection, clock.finish("expectations")).await?;
    // Everything is committed, so an error while closing changes nothing.
    let _ = connection.close().await;
    Ok(report)
}

/// Adds what the finished database contains to the report.
async fn describe(connection: &mut PgConnection, report: &mut ProvisionReport) -> Result<()> {
    let tables = catalog::tables(connection)
        .await
        .map_err(|error| sql_error::failed("reading the tables", error))?;
    let rows = catalog::row_counts(connection, &tables)
        .await
        .map_err(|error| sql_error::failed("counting rows", error))?;
    let ledgers = catalog::ledger_names(connection, &migrate::tools::tool_tables())
        .await
        .map_err(|error| sql_error::failed("reading the tables", error))?;
    let extensions = catalog::installed_extensions(connection)
        .await
        .map_err(|error| sql_error::failed("reading the extensions", error))?;
    report.extensions = extensions;
    report.rows = rows
        .into_iter()
        .filter(|(table, _)| !ledgers.contains(table))
        .collect();
    Ok(())
}

/// Prints what a reader of the files would not notice: entries that are not applied, and invisible
/// characters.
fn note_oddities(source: &MigrationInputs, scripts: &[Script], progress: &Progress) {
    if let (MigrationSource::Files(_, dir), Some(tool)) = (&source.source, source.source.tool())
        && let Some(note) = stray_files::note(tool, dir, &source.not_applied)
    {
        progress.note(&note);
    }
    for script in scripts {
        if let Some(invisible) = Invisible::in_sql(script.text(), 0) {
            progress.note(&format!(
                "{} is a part of a name, because PostgreSQL does not read it as white space",
                invisible.at_place(script)
            ));
        }
    }
}

/// Measures the phases and adds each to the report.
struct PhaseClock<'a> {
    report: &'a mut ProvisionReport,
    phase_start: Instant,
}

impl PhaseClock<'_> {
    /// Ends the current phase under this name, starts the next, and returns the report for more
    /// entries.
    fn finish(&mut self, name: &str) -> &mut ProvisionReport {
        let took = self.phase_start.elapsed();
        tracing::debug!(phase = name, ?took, "provisioned");
        self.report.phases.push(PhaseReport {
            name: name.to_owned(),
            took,
        });
        self.phase_start = Instant::now();
        self.report
    }
}
