//! Seeds from SQL, CSV and JSON files: one transaction for each file, with counts for each table.

mod csv;
mod json;
mod pieces;
mod sql;

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::inputs::{InputFile, Inputs};
use super::report::SeedReport;
use crate::catalog::{OWN_SCHEMA, RelationName};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Ident;
use crate::progress::Progress;
use crate::sql_error;

/// Rows that were there already, by table.
type Skipped = BTreeMap<String, u64>;

/// Applies every seed file in the order of the names.
pub(super) async fn seed(
    connection: &mut PgConnection,
    inputs: &Inputs,
    limit: Duration,
    progress: &Progress,
) -> Result<Vec<SeedReport>> {
    let mut reports = Vec::new();
    for (number, file) in inputs.seeds.iter().enumerate() {
        let step = format!(
            "{} {} of {}: {}",
            file.noun,
            number + 1,
            inputs.seeds.len(),
            file.shown
        );
        progress.say(&step);
        let far = |megabytes: u64| progress.say(&format!("{step}, {megabytes} MB"));
        run(connection, "begin").await?;
        let applied = tokio::time::timeout(limit, apply(connection, file, &far)).await;
        // After a failure nothing is rolled back: the database is dropped next.
        reports.extend(applied.unwrap_or_else(|_| Err(too_slow(file, limit)))?);
        // A deferred constraint speaks here.
        sqlx::raw_sql("commit")
            .execute(&mut *connection)
            .await
            .map_err(|error| at_end(file, error))?;
    }
    Ok(reports)
}

/// Called with the megabytes that were sent, as often as one is full.
type Far<'a> = &'a (dyn Fn(u64) + Sync);

const MEGABYTE: u64 = 1_000_000;

async fn apply(
    connection: &mut PgConnection,
    file: &InputFile,
    far: Far<'_>,
) -> Result<Vec<SeedReport>> {
    let before = inserts_so_far(connection).await?;
    let skipped = match file.path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => csv::load(connection, file, far).await?,
        Some("json") => json::load(connection, file).await?,
        _ => sql::run(connection, file, far).await?,
    };
    let mut inserted = inserts_so_far(connection).await?;
    inserted.retain(|table, count| {
        *count -= before.get(table).copied().unwrap_or_default().min(*count);
        *count > 0
    });
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

/// Every insert of this session that its statistics still hold, also those of triggers and functions: of this
/// transaction, and of earlier ones that were not reported yet
/// (<https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-VIEWS>).
async fn inserts_so_far(connection: &mut PgConnection) -> Result<BTreeMap<String, u64>> {
    let query = format!(
        "select schemaname::text, relname::text, n_tup_ins from pg_stat_xact_user_tables \
         where n_tup_ins > 0 and schemaname <> '{OWN_SCHEMA}' and schemaname not like 'pg\\_temp%'"
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

/// The table that a CSV or JSON file is for: `010_sales.orders.csv` is for `sales.orders`.
fn table_of(file: &InputFile) -> Result<RelationName> {
    let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start_matches(['_', '-']);
    if name.is_empty() {
        return Err(Error::new(
            ErrorKind::Seed,
            format!("{} does not name a table", file.shown),
        )
        .with_help(
            "name it after its table, with a number in front for the order: 010_services.csv",
        ));
    }
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    Ok(RelationName {
        schema: schema.to_owned(),
        name: name.to_owned(),
    })
}

fn column_list(columns: &[String]) -> String {
    columns
        .iter()
        .map(|column| Ident(column).to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<()> {
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| sql_error::failed(statement, error))
}

fn too_slow(file: &InputFile, limit: Duration) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!("{} {} is not done after {limit:?}", file.noun, file.shown),
    )
    .with_help("raise provision.timeout or EBBTIDE_PROVISION_TIMEOUT, or make the seed smaller")
}

fn at_end(file: &InputFile, error: sqlx::Error) -> Error {
    data_refused(file, "at its end", error)
}

/// A refusal of data that has no place in a statement of the user's.
fn data_refused(file: &InputFile, place: &str, error: sqlx::Error) -> Error {
    let step = format!("{} {}", file.noun, file.shown);
    let Some(refused) = sql_error::refusal(&error) else {
        return sql_error::failed(&step, error);
    };
    let kind = sql_error::kind_of(&error, ErrorKind::Seed);
    let help = match refused.code() {
        "42P01" => {
            "name the file after its table, with a number in front for the order; a migration must create the table"
        }
        "42703" => "the header or the keys must be columns of the table",
        "53100" => sql_error::MAKE_ROOM,
        _ => "mend the data; nothing of this file was kept",
    };
    Error::new(
        kind,
        format!("{step} failed {place}: {}", refused.message()),
    )
    .with_evidence("the server says", sql_error::server_says(refused))
    .with_help(help)
    .with_source(error)
}
