//! CSV with a header row: loaded by `COPY` into a staging table, then inserted where not there yet.

use std::fs::File;
use std::io::Read as _;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::{Far, MEGABYTE, Skipped, column_list, data_refused, table_of};
use crate::error::{Error, ErrorKind, Result};
use crate::provision::inputs::InputFile;
use crate::sql_error;

const CHUNK: usize = 64 * 1024;

pub(super) async fn load(
    connection: &mut PgConnection,
    file: &InputFile,
    far: Far<'_>,
) -> Result<Skipped> {
    let table = table_of(file)?;
    let columns = header(file)?;
    let list = column_list(&columns);
    let quoted = table.quoted();
    let stage = format!(
        "create temporary table ebbtide_stage on commit drop as select {list} from {quoted} with no data"
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
    let staged = copy(connection, file, &list, far).await?;
    // Where a table has no unique key, every row is new.
    let insert = format!(
        "insert into {quoted} ({list}) overriding system value select {list} from ebbtide_stage on conflict do nothing"
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

fn header(file: &InputFile) -> Result<Vec<String>> {
    let unreadable = |error: csv::Error| {
        Error::new(
            ErrorKind::Seed,
            format!("the header of {} cannot be read", file.shown),
        )
        .with_source(error)
        .with_help("make it readable, and save it with UTF-8 encoding")
    };
    let mut reader = csv::Reader::from_path(&file.path).map_err(unreadable)?;
    let names = reader.headers().map_err(unreadable)?;
    if names.is_empty() || names.iter().any(str::is_empty) {
        return Err(Error::new(
            ErrorKind::Seed,
            format!("{} has no header, or one with an empty name", file.shown),
        )
        .with_help("the first line names the columns: first_name,category"));
    }
    // Spreadsheets write a byte order mark.
    Ok(names
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect())
}

async fn copy(
    connection: &mut PgConnection,
    file: &InputFile,
    list: &str,
    far: Far<'_>,
) -> Result<u64> {
    let refused = |error| data_refused(file, "while it was read", error);
    let unreadable = |error: std::io::Error| {
        Error::new(ErrorKind::Seed, format!("{} cannot be read", file.shown)).with_source(error)
    };
    let mut source = File::open(&file.path).map_err(unreadable)?;
    let statement =
        format!("copy ebbtide_stage ({list}) from stdin with (format csv, header true)");
    let mut sink = connection.copy_in_raw(&statement).await.map_err(refused)?;
    let mut chunk = vec![0; CHUNK];
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
            far(sent / MEGABYTE);
        }
    }
    sink.finish().await.map_err(refused)
}
