//! JSON files: an array of objects for the table in the file's name, or an object that maps tables
//! to such arrays.

use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::loading::{Skipped, column_list, data_refused, table_of};
use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::input_file::InputFile;
use crate::sql_error;

/// The SQLSTATE class `data_exception`: values that do not fit their type.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const DATA_EXCEPTION_CLASS: &str = "22";

/// Inserts the rows of the file. Rows that conflict with existing ones are skipped and counted.
pub(super) async fn load(connection: &mut PgConnection, file: &InputFile) -> Result<Skipped> {
    let text = file.text(ErrorKind::Seed)?;
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Error::new(
            ErrorKind::Seed,
            format!("{}:{line}:{column} is not JSON", file.display_path),
        )
        .with_source(error)
        .with_help(
            "correct the file there; JSON has no comments, no comma before a closing bracket, and \
             no single quotes",
        )
    })?;
    let mut skipped = Skipped::new();
    match value {
        Value::Array(rows) => {
            insert(connection, file, &table_of(file)?, rows, &mut skipped).await?;
        }
        Value::Object(tables) => {
            for (name, rows) in tables {
                let (schema, table) = name.split_once('.').unwrap_or(("public", &name));
                let table = RelationName {
                    schema: schema.to_owned(),
                    name: table.to_owned(),
                };
                let Value::Array(rows) = rows else {
                    let expected = format!("expected an array of rows under {name:?}");
                    return Err(wrong_shape(file, &expected));
                };
                insert(connection, file, &table, rows, &mut skipped).await?;
            }
        }
        _ => return Err(wrong_shape(file, "expected an array or an object")),
    }
    Ok(skipped)
}

/// Inserts the rows of one table, in groups of consecutive rows with the same keys.
///
/// A group shares one INSERT, so a key that is left out takes the column's default and not null.
async fn insert(
    connection: &mut PgConnection,
    file: &InputFile,
    table: &RelationName,
    rows: Vec<Value>,
    skipped: &mut Skipped,
) -> Result<()> {
    let count = skipped.entry(table.to_string()).or_default();
    let mut objects = Vec::with_capacity(rows.len());
    for (number, row) in rows.into_iter().enumerate() {
        match row {
            Value::Object(object) if !object.is_empty() => objects.push(object),
            _ => {
                return Err(wrong_shape(
                    file,
                    &format!("expected row {} to be an object with columns", number + 1),
                ));
            }
        }
    }
    let mut first = 1;
    for group in objects.chunk_by(|a, b| a.keys().eq(b.keys())) {
        let last = first + group.len() - 1;
        let inserted = match insert_group(connection, table, group).await {
            Ok(inserted) => inserted,
            Err(error) => {
                let unreadable_row = match sql_error::code(&error) {
                    Some(code) if code.starts_with(DATA_EXCEPTION_CLASS) => {
                        first_unreadable_row(connection, table, group).await
                    }
                    _ => None,
                };
                let place = match unreadable_row {
                    Some(index) => format!("for table {table}, row {}", first + index),
                    None => format!("for table {table}, rows {first} to {last}"),
                };
                return Err(data_refused(file, &place, error));
            }
        };
        *count += group.len() as u64 - inserted;
        first = last + 1;
    }
    Ok(())
}

/// The index of the first row that the server cannot parse.
///
/// The server reports such an error without the row, so a binary search finds it. It needs no table
/// contents: it only converts the rows to the table's type. The failed transaction accepts no
/// statement, so it is rolled back first. That loses nothing, because the build has failed.
async fn first_unreadable_row(
    connection: &mut PgConnection,
    table: &RelationName,
    group: &[Map<String, Value>],
) -> Option<usize> {
    sqlx::raw_sql("rollback")
        .execute(&mut *connection)
        .await
        .ok()?;
    let columns: Vec<String> = group.first()?.keys().cloned().collect();
    let list = column_list(&columns);
    let read = format!(
        "select {list} from jsonb_populate_recordset(null::{}, $1)",
        table.quoted()
    );
    let (mut good, mut bad) = (0, group.len());
    // Invariant: the first `good` rows can be parsed, and the first `bad` rows cannot.
    while good + 1 < bad {
        let middle = usize::midpoint(good, bad);
        let rows = sqlx::types::Json(&group[..middle]);
        match sqlx::query(AssertSqlSafe(read.clone()))
            .bind(rows)
            .execute(&mut *connection)
            .await
        {
            Ok(_) => good = middle,
            Err(error) if sql_error::refusal(&error).is_some() => bad = middle,
            Err(_) => return None,
        }
    }
    Some(good)
}

/// Inserts rows with the same keys, and returns how many did not conflict.
async fn insert_group(
    connection: &mut PgConnection,
    table: &RelationName,
    group: &[Map<String, Value>],
) -> std::result::Result<u64, sqlx::Error> {
    let columns: Vec<String> = group
        .first()
        .map(|row| row.keys().cloned().collect())
        .unwrap_or_default();
    let (list, table) = (column_list(&columns), table.quoted());
    let insert = format!(
        "insert into {table} ({list}) overriding system value \
         select {list} from jsonb_populate_recordset(null::{table}, $1) on conflict do nothing"
    );
    let rows = sqlx::types::Json(group);
    Ok(sqlx::query(AssertSqlSafe(insert))
        .bind(rows)
        .execute(connection)
        .await?
        .rows_affected())
}

fn wrong_shape(file: &InputFile, what: &str) -> Error {
    Error::new(
        ErrorKind::Seed,
        format!("{} is not a valid JSON seed: {what}", file.display_path),
    )
    .with_help(
        "write an array of objects for the table in the file's name, or an object that maps tables \
         to such arrays",
    )
}
