//! Migrations by the user's function.

use std::time::Instant;

use tokio::task::JoinSet;

use super::command;
use super::context::MigrationContext;
use crate::config::MigrationFunction;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::provision_report::MigrationReport;
use crate::provision::refused_statement::NOTHING_KEPT;
use crate::provision::target;

/// Calls the function once, with the URL of the new database, and waits for its result.
pub(super) async fn migrate(
    context: &mut MigrationContext<'_>,
    function: &MigrationFunction,
) -> Result<Vec<MigrationReport>> {
    let name = function.name();
    context.progress.set_step(&format!("migrating: {name}"));
    let began = Instant::now();
    // A separate task turns a panic of the function into an error. `JoinSet` aborts the task when
    // it is dropped, so neither a timeout nor a cancelled caller leaves the function running.
    let mut running = JoinSet::new();
    running.spawn(function.run(context.target.conn.url(context.target.database)));
    let failed = |text: &str| {
        Error::new(
            ErrorKind::Migration,
            format!("the migration function {name:?} {text}"),
        )
    };
    let help = format!("correct the function and run the tests again{NOTHING_KEPT}");
    match tokio::time::timeout(context.timeout, running.join_next()).await {
        Ok(Some(Ok(Ok(())))) => {}
        Ok(Some(Ok(Err(error)))) => {
            return Err(failed("failed").with_source(error).with_help(help));
        }
        Ok(Some(Err(panic))) => return Err(failed("panicked").with_source(panic).with_help(help)),
        Ok(None) => return Err(failed("ended without a result").with_help(help)),
        Err(_) => {
            let message = format!(
                "the migration function {name:?} did not finish within {:?}",
                context.timeout
            );
            return Err(Error::new(ErrorKind::Timeout, message)
                .with_evidence(
                    "the server was executing",
                    target::executing_statements(context.connection).await,
                )
                .with_help(
                    "raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or find out what the \
                     function waits for",
                ));
        }
    }
    command::report_from_ledger(context, name, began.elapsed()).await
}
