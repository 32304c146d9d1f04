//! Seeds from SQL, CSV and JSON files, with counts for each table.
//!
//! ```text
//! new session -> begin -> apply the file -> commit -> own session -> move the sequences
//! ```
//!
//! Each file begins in a new session, as under `psql -f`: what a file sets ends with it. Fixtures
//! use the same code. A failure is not rolled back: the caller drops the database.

mod characters;
mod csv;
mod csv_text;
mod json;
mod json_text;
mod loading;
mod sequences;
mod sql;
mod table;

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::input_file::InputFile;
use super::inputs::Inputs;
use super::inserted_rows;
use super::own_statement;
use super::provision_report::SeedReport;
use super::psql::Executed;
use super::target::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use loading::{Loader, OnMegabyte, data_refused};
use sequences::Sequences;

/// What the seeds have done.
pub(super) struct Seeded {
    /// A session that no file has used.
    pub(super) connection: PgConnection,
    pub(super) reports: Vec<SeedReport>,
    /// What was skipped and why, one line each.
    pub(super) notes: Vec<String>,
}

/// Applies every seed file, in the order of the names. Each must finish within `timeout`.
pub(super) async fn seed(
    connection: PgConnection,
    target: Target<'_>,
    inputs: &Inputs,
    timeout: Duration,
    progress: &Progress,
) -> Result<Seeded> {
    let mut seeded = Seeded {
        connection,
        reports: Vec::new(),
        notes: Vec::new(),
    };
    for (number, file) in inputs.seeds.iter().enumerate() {
        let step = format!(
            "{} {} of {}: {}",
            file.noun,
            number + 1,
            inputs.seeds.len(),
            file.display_path
        );
        progress.set_step(&step);
        let loader = Loader {
            target,
            timeout,
            on_megabyte: &|megabytes| progress.set_step(&format!("{step}, {megabytes} MB")),
        };
        // A file that cannot be read is reported when it is applied.
        let mut sequences = Sequences::default();
        if sequences::are_set_by(file).unwrap_or_default() {
            let mut own = target.own_session(seeded.connection).await?;
            sequences = Sequences::read(&mut own).await?;
            seeded.connection = target.new_session(own).await?;
        }
        let executed = apply(&mut seeded.connection, file, &loader).await?;
        if !executed.inserted.is_empty() {
            let filled: Vec<&str> = executed.inserted.keys().map(String::as_str).collect();
            let mut own = target.own_session(seeded.connection).await?;
            sequences.move_behind(&mut own, file, &filled).await?;
            seeded.connection = own;
        }
        // What the file has set must not hold for the next one.
        seeded.connection = target.new_session(seeded.connection).await?;
        seeded.reports.extend(reports(file, &executed));
        seeded.notes.extend(executed.notes);
    }
    Ok(seeded)
}

/// Applies one file, and counts the rows that it inserted and skipped in each table.
async fn apply(
    connection: &mut PgConnection,
    file: &InputFile,
    loader: &Loader<'_>,
) -> Result<Executed> {
    let loading = match &*file.ending() {
        "csv" => load(connection, file, DataFormat::Csv(b',', loader.on_megabyte)),
        "tsv" => load(connection, file, DataFormat::Csv(b'\t', loader.on_megabyte)),
        "json" | "jsonl" | "ndjson" => load(connection, file, DataFormat::Json),
        _ => return sql::run(connection, file, loader).await,
    };
    let limited = tokio::time::timeout(loader.timeout, loading).await;
    let executed = limited.unwrap_or_else(|_| Err(timed_out(file, loader.timeout)))?;
    // The server checks deferred constraints here.
    sqlx::raw_sql("commit")
        .execute(connection)
        .await
        .map_err(|error| data_refused(file, "at its commit", error))?;
    Ok(executed)
}

/// A format of data without statements.
enum DataFormat<'a> {
    /// With the separator of the columns.
    Csv(u8, OnMegabyte<'a>),
    Json,
}

/// Loads a file in a transaction, which the caller commits.
async fn load(
    connection: &mut PgConnection,
    file: &InputFile,
    format: DataFormat<'_>,
) -> Result<Executed> {
    own_statement::run(connection, "begin").await?;
    let before = inserted_rows::in_transaction(connection).await?;
    let skipped = match format {
        DataFormat::Csv(separator, on_megabyte) => {
            csv::load(connection, file, separator, on_megabyte).await?
        }
        DataFormat::Json => json::load(connection, file).await?,
    };
    let after = inserted_rows::in_transaction(connection).await?;
    Ok(Executed {
        inserted: inserted_rows::difference(after, &before),
        skipped,
        notes: Vec::new(),
    })
}

/// The reports of a file, one for each table that it inserted rows into or skipped rows of.
fn reports(file: &InputFile, executed: &Executed) -> Vec<SeedReport> {
    let name = file.path.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let mut inserted = executed.inserted.clone();
    for table in executed.skipped.keys() {
        inserted.entry(table.clone()).or_default();
    }
    let report = |(table, inserted): (String, u64)| SeedReport {
        file: name.clone().into_owned(),
        skipped: executed.skipped.get(&table).copied().unwrap_or_default(),
        table,
        inserted,
    };
    inserted.into_iter().map(report).collect()
}

fn timed_out(file: &InputFile, timeout: Duration) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!(
            "{} {} did not finish within {timeout:?}",
            file.noun, file.display_path
        ),
    )
    .with_help("raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or make the file smaller")
}
