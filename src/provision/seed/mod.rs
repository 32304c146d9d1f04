//! Seeds from SQL, CSV and JSON files: one transaction for each file, with counts for each table.
//!
//! ```text
//! begin -> apply the file -> move the sequences behind its rows -> commit
//! ```
//!
//! Fixtures use the same code. A failure is not rolled back: the caller drops the database.

mod characters;
mod csv;
mod csv_text;
mod json;
mod json_text;
mod loading;
mod pieces;
mod sequences;
mod sql;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::input_file::InputFile;
use super::inputs::Inputs;
use super::provision_report::SeedReport;
use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};
use crate::guard_names::SCHEMA;
use crate::progress::Progress;
use crate::sql_error;
use loading::{OnMegabyte, data_refused};
use sequences::Sequences;

/// Applies every seed file, in the order of the names. Each must finish within `timeout`.
pub(super) async fn seed(
    connection: &mut PgConnection,
    inputs: &Inputs,
    timeout: Duration,
    progress: &Progress,
) -> Result<Vec<SeedReport>> {
    let mut reports = Vec::new();
    for (number, file) in inputs.seeds.iter().enumerate() {
        let step = format!(
            "{} {} of {}: {}",
            file.noun,
            number + 1,
            inputs.seeds.len(),
            file.display_path
        );
        progress.set_step(&step);
        let on_megabyte = |megabytes: u64| progress.set_step(&format!("{step}, {megabytes} MB"));
        run(connection, "begin").await?;
        let applied = tokio::time::timeout(timeout, apply(connection, file, &on_megabyte)).await;
        // Nothing is rolled back after a failure: the caller drops the database.
        reports.extend(applied.unwrap_or_else(|_| Err(timed_out(file, timeout)))?);
        // The server checks deferred constraints here.
        sqlx::raw_sql("commit")
            .execute(&mut *connection)
            .await
            .map_err(|error| commit_refused(file, error))?;
    }
    Ok(reports)
}

/// Applies one file, and counts the rows that it inserted and skipped in each table.
async fn apply(
    connection: &mut PgConnection,
    file: &InputFile,
    on_megabyte: OnMegabyte<'_>,
) -> Result<Vec<SeedReport>> {
    let before = inserts_so_far(connection).await?;
    let sequences = Sequences::before(connection, file).await?;
    let skipped = match &*file.ending() {
        "csv" => csv::load(connection, file, b',', on_megabyte).await?,
        "tsv" => csv::load(connection, file, b'\t', on_megabyte).await?,
        "json" | "jsonl" | "ndjson" => json::load(connection, file).await?,
        _ => sql::run(connection, file, on_megabyte).await?,
    };
    let mut inserted = inserts_so_far(connection).await?;
    inserted.retain(|table, count| {
        *count -= before.get(table).copied().unwrap_or_default().min(*count);
        *count > 0
    });
    let filled: Vec<&str> = inserted.keys().map(String::as_str).collect();
    sequences.move_behind(connection, file, &filled).await?;
    let name = file
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for table in skipped.keys() {
        inserted.entry(table.clone()).or_default();
    }
    Ok(inserted
        .into_iter()
        .map(|(table, inserted)| {
            let skipped = skipped.get(&table).copied().unwrap_or_default();
            SeedReport {
                file: name.clone(),
                table,
                inserted,
                skipped,
            }
        })
        .collect())
}

/// The rows that this session inserted, by table, as far as the server's statistics of the session
/// still hold them. They include the inserts of triggers and functions. They also include earlier
/// transactions whose counts the session has not reported yet, so the caller subtracts the counts
/// from before.
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS>
async fn inserts_so_far(connection: &mut PgConnection) -> Result<BTreeMap<String, u64>> {
    let query = format!(
        "select schemaname::text, relname::text, n_tup_ins from pg_stat_xact_user_tables \
         where n_tup_ins > 0 and schemaname <> '{SCHEMA}' and schemaname not like 'pg\\_temp%'"
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(connection)
        .await;
    rows.and_then(|rows| {
        rows.iter()
            .map(|row| {
                let table = RelationName {
                    schema: row.try_get(0)?,
                    name: row.try_get(1)?,
                };
                let count: i64 = row.try_get(2)?;
                Ok((table.to_string(), count.unsigned_abs()))
            })
            .collect()
    })
    .map_err(|error| sql_error::failed("counting seeded rows", error))
}

/// Runs one of ebbtide's own statements.
async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<()> {
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| sql_error::failed(statement, error))
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

fn commit_refused(file: &InputFile, error: sqlx::Error) -> Error {
    data_refused(file, "at its commit", error)
}
