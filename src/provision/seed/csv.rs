//! CSV files with a header row. `COPY` loads the rows into a staging table, and an INSERT copies
//! those that do not exist yet.

use std::fs::File;
use std::io::Read as _;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::loading::{MEGABYTE, OnMegabyte, Skipped, column_list, data_refused, table_of};
use crate::error::{Error, ErrorKind, Result};
use crate::provision::input_file::InputFile;
use crate::sql_error;

/// How many bytes are sent at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Loads the file into its table. Rows that conflict with existing ones are skipped and counted.
pub(super) async fn load(
    connection: &mut PgConnection,
    file: &InputFile,
    on_megabyte: OnMegabyte<'_>,
) -> Result<Skipped> {
    let table = table_of(file)?;
    let columns = header(file)?;
    let list = column_list(&columns);
    let quoted = table.quoted();
    let stage = format!(
        "create temporary table ebbtide_stage on commit drop as \
         select {list} from {quoted} with no data"
    );
    sqlx::raw_sql(AssertSqlSafe(stage))
        .execute(&mut *connection)
        .await
        .map_err(|error| {
            // undefined_column
            let header = if sql_error::code(&error) == Some("42703") {
                "in line 1, "
            } else {
                ""
            };
            data_refused(file, &format!("{header}for table {table}"), error)
        })?;
    let staged = copy(connection, file, &list, on_megabyte).await?;
    // Without a unique key there are no conflicts, so every row is inserted.
    let insert = format!(
        "insert into {quoted} ({list}) overriding system value \
         select {list} from ebbtide_stage on conflict do nothing"
    );
    let inserted = sqlx::raw_sql(AssertSqlSafe(insert))
        .execute(&mut *connection)
        .await;
    let inserted = match inserted {
        Ok(done) => done.rows_affected(),
        Err(error) => return Err(data_refused(file, &format!("for table {table}"), error)),
    };
    sqlx::raw_sql("drop table ebbtide_stage")
        .execute(connection)
        .await
        .map_err(|error| sql_error::failed("staging", error))?;
    Ok(Skipped::from([(table.to_string(), staged - inserted)]))
}

/// The column names in the first line.
fn header(file: &InputFile) -> Result<Vec<String>> {
    let unreadable = |error: csv::Error| {
        Error::new(
            ErrorKind::Seed,
            format!("the header of {} cannot be read", file.display_path),
        )
        .with_source(error)
        .with_help("make it readable, and save it with UTF-8 encoding")
    };
    let mut reader = csv::Reader::from_path(&file.path).map_err(unreadable)?;
    let names = reader.headers().map_err(unreadable)?;
    if names.is_empty() || names.iter().any(str::is_empty) {
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
    // Spreadsheet programs write a byte order mark.
    Ok(names
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect())
}

/// Sends the file to the staging table, and returns the number of its rows.
async fn copy(
    connection: &mut PgConnection,
    file: &InputFile,
    list: &str,
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
    let mut source = File::open(&file.path).map_err(unreadable)?;
    let statement =
        format!("copy ebbtide_stage ({list}) from stdin with (format csv, header true)");
    let mut sink = connection.copy_in_raw(&statement).await.map_err(refused)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut sent = 0_u64;
    loop {
        let read = source.read(&mut chunk).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        sink.send(&chunk[..read]).await.map_err(refused)?;
        let before = sent / MEGABYTE;
        sent += read as u64;
        if sent / MEGABYTE > before {
            on_megabyte(sent / MEGABYTE);
        }
    }
    sink.finish().await.map_err(refused)
}
