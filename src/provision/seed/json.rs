//! JSON: an array of objects for the table in the file's name, or an object of such arrays by table.

use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::{Skipped, column_list, data_refused, table_of};
use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::inputs::InputFile;
use crate::sql_error;

/// The class of the codes for values that do not fit their type:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const DATA_EXCEPTION: &str = "22";

pub(super) async fn load(connection: &mut PgConnection, file: &InputFile) -> Result<Skipped> {
    let text = file.text(ErrorKind::Seed)?;
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        Error::new(ErrorKind::Seed, format!("{}:{}:{} is not JSON", file.shown, error.line(), error.column()))
            .with_source(error)
            .with_help("mend the file there; JSON has no comments, no comma before a closing bracket, no single quotes")
    })?;
    let mut skipped = Skipped::new();
    match value {
        Value::Array(rows) => {
            insert(connection, file, &table_of(file)?, rows, &mut skipped).await?
        }
        Value::Object(tables) => {
            for (name, rows) in tables {
                let (schema, table) = name.split_once('.').unwrap_or(("public", &name));
                let table = RelationName {
                    schema: schema.to_owned(),
                    name: table.to_owned(),
                };
                let Value::Array(rows) = rows else {
                    return Err(misshapen(file, &format!("under {name} stands no array")));
                };
                insert(connection, file, &table, rows, &mut skipped).await?;
            }
        }
        _ => return Err(misshapen(file, "it holds neither an array nor an object")),
    }
    Ok(skipped)
}

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
                return Err(misshapen(
                    file,
                    &format!("row {} is no object with columns", number + 1),
                ));
            }
        }
    }
    // Rows with the same keys go together: a key that is left out takes the column's default, not null.
    let mut first = 1;
    for group in objects.chunk_by(|a, b| a.keys().eq(b.keys())) {
        let last = first + group.len() - 1;
        let inserted = match insert_group(connection, table, group).await {
            Ok(inserted) => inserted,
            Err(error) => {
                let culprit = match sql_error::code(&error) {
                    Some(code) if code.starts_with(DATA_EXCEPTION) => {
                        culprit(connection, table, group).await
                    }
                    _ => None,
                };
                let place = match culprit {
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

/// The first row, counted from 0, that the server cannot read, whatever else is in the table. It ends the transaction,
/// which has failed.
async fn culprit(
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
    // The first `good` rows can be read, the first `bad` cannot.
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

fn misshapen(file: &InputFile, what: &str) -> Error {
    Error::new(ErrorKind::Seed, format!("{} has another form than a seed: {what}", file.shown))
        .with_help("write an array of objects for the table in the file's name, or an object of such arrays by table")
}
