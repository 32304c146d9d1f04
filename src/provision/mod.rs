//! Makes an empty database into what the plan asks for, and checks that it is.
//!
//! Works on any open connection and never learns which backend runs.

mod advice;
mod claims;
mod expect;
mod extensions;
mod failure;
mod inputs;
mod layout;
mod migrate;
mod relation;
mod report;
mod reversible;
mod script;
mod seed;
mod server_wide;
mod target;
mod verify;

use std::time::Instant;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::catalog;
use crate::config::Plan;
use crate::error::Result;
use crate::progress::Progress;
use crate::sql_error;

pub(crate) use extensions::{beyond_rights, needs_superuser};
pub(crate) use inputs::{InputFile, Inputs};
pub(crate) use migrate::head;
pub use report::{MigrationReport, PhaseReport, ProvisionReport, SeedReport};
pub(crate) use reversible::check_reversible;
pub use reversible::{ReversibleReport, ReversibleStep};
pub(crate) use target::Target;

/// Raised whenever provisioning gives another database for the same inputs.
pub(crate) const FORMAT: u32 = 10;

/// The SQL of ebbtide's own objects, which every template holds. A template with other ones is another template.
const OWN_OBJECTS: [&str; 5] = [
    include_str!("../template/guard.sql"),
    include_str!("../template/look.sql"),
    include_str!("../template/reset.sql"),
    include_str!("../template/restore_estimates.sql"),
    include_str!("../template/estimates_differ.sql"),
];

/// Runs every phase in order; a later one never starts before an earlier one has passed. The session that is given, and each
/// that replaces it, is closed at the end.
pub(crate) async fn provision(
    mut connection: PgConnection,
    target: Target<'_>,
    plan: &Plan,
    inputs: &Inputs,
    progress: &Progress,
) -> Result<ProvisionReport> {
    let mut report = ProvisionReport::default();
    let mut clock = PhaseClock {
        report: &mut report,
        began: Instant::now(),
    };

    progress.say("installing extensions");
    let installed = extensions::install(&mut connection, &plan.extensions).await?;
    clock.finish("extensions").extensions = installed;

    progress.say("migrating");
    let scripts = inputs.migration_scripts()?;
    let limit = *plan.provision_timeout.get();
    let site = migrate::Site {
        connection: &mut connection,
        target,
        scripts: &scripts,
        limit,
        progress,
    };
    let applied = migrate::migrate(site, plan, inputs).await?;
    clock.finish("migrations").migrations = applied;

    // What the migrations set for the database holds for its next session.
    connection = target.new_session(connection).await?;
    progress.say("verifying");
    verify::verify(&mut connection, inputs, &scripts).await?;
    clock.finish("verification");

    let seeded = seed::seed(&mut connection, inputs, limit, progress).await?;
    clock.finish("seeds").seeds = seeded;

    connection = target.new_session(connection).await?;
    progress.say("checking what is expected");
    expect::check(&mut connection, &plan.expect).await?;
    let tables = catalog::tables(&mut connection)
        .await
        .map_err(|error| sql_error::failed("reading the tables", error))?;
    let rows = catalog::row_counts(&mut connection, &tables)
        .await
        .map_err(|error| sql_error::failed("counting rows", error))?;
    let report = clock.finish("expectations");
    report.tables = rows
        .keys()
        .filter(|table| !catalog::is_ledger(table))
        .cloned()
        .collect();
    report.rows = rows
        .into_iter()
        .filter(|(table, _)| !catalog::is_ledger(table))
        .collect();
    let report = std::mem::take(report);
    // The work is committed.
    let _ = connection.close().await;
    Ok(report)
}

struct PhaseClock<'a> {
    report: &'a mut ProvisionReport,
    began: Instant,
}

impl PhaseClock<'_> {
    fn finish(&mut self, name: &str) -> &mut ProvisionReport {
        let took = self.began.elapsed();
        tracing::debug!(phase = name, ?took, "provisioned");
        self.report.phases.push(PhaseReport {
            name: name.to_owned(),
            milliseconds: took.as_secs_f64() * 1e3,
        });
        self.began = Instant::now();
        self.report
    }
}
