//! A program of the user's, such as Alembic.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Site;
use crate::catalog::LedgerClaim;
use crate::config::{MigrationCommand, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::process::{self, Attached, CommandSpec};
use crate::provision::report::MigrationReport;
use crate::provision::target;
use crate::scarcity::Scarcity;
use crate::sql_error;

/// Lines of its output that an error shows.
const SHOWN: usize = 40;

/// Runs the command to its end.
pub(super) async fn migrate(
    site: &mut Site<'_>,
    plan: &Plan,
    said: &MigrationCommand,
) -> Result<Vec<MigrationReport>> {
    let shown = said.shown();
    site.progress.say(&format!("migrating: {shown}"));
    let began = Instant::now();
    let mut running = start(site, plan, said)?;
    let end = tokio::time::timeout(site.limit, running.ended()).await;
    let (conn, dir) = (site.target.conn, dir(plan, said).display());
    match end {
        Ok(Ok(())) => {}
        Ok(Err(how)) => {
            let told = format!(
                "it ran in {dir}, with the database's URL in {}",
                said.url_variable
            );
            return Err(Error::new(ErrorKind::Migration, format!("the command {shown} failed: {how}"))
                .with_evidence("its output", output(&mut running, conn).await)
                .with_help(format!(
                    "mend what it says and run the tests again; {told}; nothing of this database was kept"
                )));
        }
        Err(_) => {
            let executing = target::seen(site.connection).await;
            running.end();
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("the command {shown} is not done after {:?}", site.limit),
            )
            .with_evidence("the server was executing", executing)
            .with_evidence("its output", output(&mut running, conn).await)
            .with_help(
                "raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or look for what the command waits for",
            ));
        }
    }
    applied(site, &shown, began.elapsed()).await
}

/// What a source of which we know only the outcome has done, in the words of the ledger that it left.
pub(super) async fn applied(
    site: &mut Site<'_>,
    shown: &str,
    took: Duration,
) -> Result<Vec<MigrationReport>> {
    let claim = LedgerClaim::read(site.connection).await;
    let claim = claim.map_err(|error| sql_error::failed("reading the migration ledger", error))?;
    Ok(vec![MigrationReport {
        version: claim.and_then(|claim| claim.latest).unwrap_or_default(),
        description: shown.to_owned(),
        milliseconds: took.as_secs_f64() * 1e3,
    }])
}

fn dir<'a>(plan: &'a Plan, said: &'a MigrationCommand) -> &'a Path {
    said.directory.as_deref().unwrap_or(&plan.package_root)
}

fn start(site: &Site<'_>, plan: &Plan, said: &MigrationCommand) -> Result<Attached> {
    let dir = dir(plan, said);
    let (name, arguments) = said
        .command
        .split_first()
        .expect("a plan's command has a program");
    let Some(program) = process::find_program(name, dir, &plan.path) else {
        return Err(missing(name, dir, plan));
    };
    let (conn, database) = (site.target.conn, site.target.database);
    let mut variables = conn.variables(database);
    let url = conn.program_url(database);
    variables.push((said.url_variable.as_str(), Some(url)));
    let spec = CommandSpec {
        program: &program,
        arguments,
        dir,
        variables: &variables,
    };
    Attached::spawn(&spec).map_err(|error| {
        let help =
            Scarcity::of_start(&error).map_or("a shell (sh) must be in PATH", Scarcity::help);
        Error::new(
            ErrorKind::Io,
            format!("the command {} could not be started", said.shown()),
        )
        .with_source(error)
        .with_help(help)
    })
}

fn missing(name: &str, dir: &Path, plan: &Plan) -> Error {
    let message = format!("the migrations' command {name} is not there");
    let error = Error::new(ErrorKind::MigrationSource, message);
    if name.contains('/') {
        return error.with_help(format!(
            "create {}, as a file that can be run, or correct the path",
            dir.join(name).display()
        ));
    }
    let places: Vec<String> = std::env::split_paths(plan.path.get())
        .map(|place| place.display().to_string())
        .collect();
    error
        .with_evidence("searched", places.join("\n"))
        .with_help(format!(
            "install {name}, or write the path to it, as in command = [\".venv/bin/{name}\", ...]"
        ))
}

/// The end of what the command wrote, without the password that it was given.
async fn output(running: &mut Attached, conn: &crate::conn::ConnParams) -> String {
    let tail = process::last_lines(&running.output().await, SHOWN);
    conn.without_password(&tail)
}
