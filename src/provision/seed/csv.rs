//! CSV files with a header row. `COPY` loads the rows into a staging table, and an INSERT copies
//! those that do not exist yet. A `.tsv` file is CSV with tabs.

use std::io::Read as _;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::characters::{Defect, first_invisible};
use super::csv_text::CsvText;
use super::loading::{MEGABYTE, OnMegabyte, Skipped, column_list, data_refused};
use super::table::SeedTable;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::input_file::InputFile;
use crate::sql_error;

/// How many bytes are read and sent at once. A header must be shorter.
const CHUNK_BYTES: usize = 64 * 1024;

/// Loads the file into its table. Rows that conflict with existing ones are skipped and counted.
pub(super) async fn load(
    connection: &mut PgConnection,
    file: &InputFile,
    delimiter: u8,
    on_megabyte: OnMegabyte<'_>,
) -> Result<Skipped> {
    let table = SeedTable::of_file(connection, file).await?;
    let columns = header(file, delimiter)?;
    let list = column_list(&columns);
    let quoted = table.name.quoted();
    // The staging table is named with its schema: a search path may have `pg_temp` last.
    let stage = format!(
        "create temporary table ebbtide_stage on commit drop as \
         select {list} from {quoted} with no data"
    );
    sqlx::raw_sql(AssertSqlSafe(stage))
        .execute(&mut *connection)
        .await
        .map_err(|error| {
            // undefined_column, duplicate_column
            let in_header = if matches!(sql_error::code(&error), Some("42703" | "42701")) {
                "in line 1, "
            } else {
                ""
            };
            let place = format!("{in_header}for table {}", table.name);
            let refused = data_refused(file, &place, error);
            match header_help(&columns) {
                Some(help) if !in_header.is_empty() => refused.with_help(help),
                _ => refused,
            }
        })?;
    let staged = copy(connection, file, &list, delimiter, on_megabyte).await?;
    // Without a unique key there are no conflicts, so every row is inserted.
    let insert = format!(
        "insert into {quoted} ({list}) overriding system value \
         select {list} from pg_temp.ebbtide_stage {}",
        table.on_conflict
    );
    let inserted = sqlx::raw_sql(AssertSqlSafe(insert))
        .execute(&mut *connection)
        .await
        .map_err(|error| data_refused(file, &format!("for table {}", table.name), error))?
        .rows_affected();
    sqlx::raw_sql("drop table pg_temp.ebbtide_stage")
        .execute(connection)
        .await
        .map_err(|error| sql_error::failed("staging", error))?;
    let skipped = staged.saturating_sub(inserted);
    Ok(Skipped::from([(table.name.to_string(), skipped)]))
}

/// The column names in the first line.
fn header(file: &InputFile, delimiter: u8) -> Result<Vec<String>> {
    let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(
            ErrorKind::Seed,
            format!("the header of {} cannot be read", file.display_path),
        )
        .with_source(error)
        .with_help("make it readable, and save it with UTF-8 encoding")
    };
    let mut start = Vec::new();
    file.open()
        .and_then(|source| source.take(CHUNK_BYTES as u64).read_to_end(&mut start))
        .map_err(|error| unreadable(error.into()))?;
    let is_whole = start.len() < CHUNK_BYTES;
    let text = CsvText::new(delimiter)
        .push(&start, is_whole)
        .map_err(|(defect, line, column)| defect.error(file, line, column))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_slice());
    let names = reader.headers().map_err(|error| unreadable(error.into()))?;
    // The reader steps over empty lines, and COPY does not.
    let is_first_line = !matches!(text.first(), None | Some(b'\n' | b'\r'));
    if !is_first_line || names.is_empty() || names.iter().any(str::is_empty) {
        return Err(Error::new(
            ErrorKind::Seed,
            format!(
                "a CSV file must begin with a header of column names, but {} has none or an empty \
                 name",
                file.display_path
            ),
        )
        .with_help("write the column names in the first line, for example: first_name,category"));
    }
    Ok(names.iter().map(|name| name.trim().to_owned()).collect())
}

/// Help for a header that names no column, if its characters show the reason.
fn header_help(columns: &[String]) -> Option<String> {
    let all = columns.join("");
    if let Some(c) = first_invisible(&all) {
        let name = super::characters::description(c);
        return Some(format!(
            "the header has an invisible character, {name}: remove it"
        ));
    }
    let other = [';', '\t', '|'].into_iter().find(|c| all.contains(*c))?;
    (columns.len() == 1).then(|| {
        format!(
            "separate the columns by commas, and not by {other:?}; a file with tabs must have the \
             ending .tsv"
        )
    })
}

/// Sends the file to the staging table, and returns the number of its rows.
async fn copy(
    connection: &mut PgConnection,
    file: &InputFile,
    list: &str,
    delimiter: u8,
    on_megabyte: OnMegabyte<'_>,
) -> Result<u64> {
    let refused = |error| data_refused(file, "while COPY read it", error);
    let unreadable = |error: std::io::Error| {
        Error::new(
            ErrorKind::Seed,
            format!("{} cannot be read", file.display_path),
        )
        .with_source(error)
    };
    let defective =
        |(defect, line, column): (Defect, usize, usize)| defect.error(file, line, column);
    let mut source = file.open().map_err(unreadable)?;
    let mut text = CsvText::new(delimiter);
    // E'\x2c' is a comma. The encoding is that of the file, whatever the session's is.
    let statement = format!(
        "copy pg_temp.ebbtide_stage ({list}) from stdin \
         with (format csv, header true, delimiter E'\\x{delimiter:02x}', encoding 'UTF8')"
    );
    let mut sink = connection.copy_in_raw(&statement).await.map_err(refused)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut sent = 0_u64;
    loop {
        let read = source.read(&mut chunk).map_err(unreadable)?;
        let cleaned = text.push(&chunk[..read], read == 0).map_err(defective)?;
        if !cleaned.is_empty() {
            sink.send(cleaned).await.map_err(refused)?;
        }
        if read == 0 {
            break;
        }
        let before = sent / MEGABYTE;
        sent += read as u64;
        if sent / MEGABYTE > before {
            on_megabyte(sent / MEGABYTE);
        }
    }
    sink.finish().await.map_err(refused)
}
