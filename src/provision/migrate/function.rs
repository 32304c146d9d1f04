//! A function of the test's own.

use std::time::Instant;

use tokio::task::JoinSet;

use super::{Site, command};
use crate::config::MigrationFunction;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::report::MigrationReport;
use crate::provision::target;

/// Calls the function once and waits for what it returns.
pub(super) async fn migrate(
    site: &mut Site<'_>,
    function: &MigrationFunction,
) -> Result<Vec<MigrationReport>> {
    let name = function.name();
    site.progress.say(&format!("migrating: {name}"));
    let began = Instant::now();
    // A task of its own, so that a panic is an error; with the set it is given up.
    let mut running = JoinSet::new();
    running.spawn(function.run(site.target.conn.url(site.target.database)));
    let failed = |text: &str| {
        Error::new(
            ErrorKind::Migration,
            format!("the migrating function {name:?} {text}"),
        )
    };
    let help = "mend the function and run the tests again; nothing of this database was kept";
    match tokio::time::timeout(site.limit, running.join_next()).await {
        Ok(Some(Ok(Ok(())))) => {}
        Ok(Some(Ok(Err(error)))) => {
            return Err(failed("failed").with_source(error).with_help(help));
        }
        Ok(Some(Err(panic))) => return Err(failed("panicked").with_source(panic).with_help(help)),
        Ok(None) => return Err(failed("ended early").with_help(help)),
        Err(_) => {
            let message = format!(
                "the migrating function {name:?} is not done after {:?}",
                site.limit
            );
            return Err(Error::new(ErrorKind::Timeout, message)
                .with_evidence("the server was executing", target::seen(site.connection).await)
                .with_help(
                    "raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for what the function waits for",
                ));
        }
    }
    command::applied(site, name, began.elapsed()).await
}
