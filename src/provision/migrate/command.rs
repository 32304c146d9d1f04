//! Migrations by the user's program, such as Alembic.

use std::path::Path;
use std::time::{Duration, Instant};

use super::context::MigrationContext;
use super::plan_ledgers::ledger_claim;
use crate::config::{MigrationCommand, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::process::{self, Attached, CommandSpec};
use crate::provision::provision_report::MigrationReport;
use crate::provision::refused_statement::NOTHING_KEPT;
use crate::provision::target;
use crate::scarcity::Scarcity;

/// How many lines of the command's output an error shows.
const MAX_OUTPUT_LINES: usize = 40;

/// Runs the command, and waits until it ends or `provision.timeout` is over.
///
/// The server's activity is read before the command is ended. Afterwards the command's sessions are
/// gone, and the error could not name the statement that hung.
pub(super) async fn migrate(
    context: &mut MigrationContext<'_>,
    plan: &Plan,
    command: &MigrationCommand,
) -> Result<Vec<MigrationReport>> {
    let command_line = command.redacted();
    context
        .progress
        .set_step(&format!("migrating: {command_line}"));
    let began = Instant::now();
    let mut running = start(context, plan, command)?;
    let end = tokio::time::timeout(context.timeout, running.ended()).await;
    let (conn, dir) = (context.target.conn, dir(plan, command).display());
    match end {
        Ok(Ok(())) => {}
        Ok(Err(status)) => {
            let where_it_ran = format!(
                "it ran in {dir}, with the database's URL in {}",
                command.url_variable
            );
            return Err(Error::new(
                ErrorKind::Migration,
                format!("the command {command_line} failed: {status}"),
            )
            .with_evidence("its output", output(&mut running, conn).await)
            .with_help(format!(
                "correct what its output reports and run the tests again; \
                 {where_it_ran}{NOTHING_KEPT}"
            )));
        }
        Err(_) => {
            let executing = target::executing_statements(context.connection).await;
            running.end();
            return Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "the command {command_line} did not finish within {:?}",
                    context.timeout
                ),
            )
            .with_evidence("the server was executing", executing)
            .with_evidence("its output", output(&mut running, conn).await)
            .with_help(
                "raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or find out what the \
                 command waits for",
            ));
        }
    }
    report_from_ledger(context, &command_line, began.elapsed()).await
}

/// The report for a command or a function. The migrations are unknown, so the latest version comes
/// from the ledger.
pub(super) async fn report_from_ledger(
    context: &mut MigrationContext<'_>,
    description: &str,
    took: Duration,
) -> Result<Vec<MigrationReport>> {
    let claim = ledger_claim(context.connection).await?;
    Ok(vec![MigrationReport {
        version: claim.and_then(|claim| claim.latest),
        description: description.to_owned(),
        took,
    }])
}

/// The directory in which the command runs.
fn dir<'a>(plan: &'a Plan, command: &'a MigrationCommand) -> &'a Path {
    command.directory.as_deref().unwrap_or(&plan.package_root)
}

fn start(
    context: &MigrationContext<'_>,
    plan: &Plan,
    command: &MigrationCommand,
) -> Result<Attached> {
    let dir = dir(plan, command);
    let (name, arguments) = command
        .command
        .split_first()
        .expect("a plan's command has a program");
    let Some(program) = process::find_program(name, dir, &plan.path) else {
        return Err(program_not_found(name, dir, plan));
    };
    let (conn, database) = (context.target.conn, context.target.database);
    let mut variables = conn.variables(database);
    let url = conn.program_url(database);
    variables.push((command.url_variable.as_str(), Some(url)));
    let spec = CommandSpec {
        program: &program,
        arguments,
        dir,
        variables: &variables,
    };
    Attached::spawn(&spec).map_err(|error| {
        let help = Scarcity::of_start(&error)
            .map_or("make a POSIX shell `sh` available on PATH", Scarcity::help);
        Error::new(
            ErrorKind::Io,
            format!("the command {} could not be started", command.redacted()),
        )
        .with_source(error)
        .with_help(help)
    })
}

fn program_not_found(name: &str, dir: &Path, plan: &Plan) -> Error {
    let message =
        format!("the program of the migration command must exist, but {name} was not found");
    let error = Error::new(ErrorKind::MigrationSource, message);
    if name.contains('/') {
        return error.with_help(format!(
            "create {} as an executable file, or correct the path",
            dir.join(name).display()
        ));
    }
    let searched: Vec<String> = std::env::split_paths(plan.path.get())
        .map(|dir| dir.display().to_string())
        .collect();
    error
        .with_evidence("searched", searched.join("\n"))
        .with_help(format!(
            "install {name}, or write the path to it, as in command = [\".venv/bin/{name}\", ...]"
        ))
}

/// The last lines of the command's output, without the password that ebbtide passed to the command.
async fn output(running: &mut Attached, conn: &crate::conn::ConnParams) -> String {
    let tail = process::last_lines(&running.output().await, MAX_OUTPUT_LINES);
    conn.without_password(&tail)
}
