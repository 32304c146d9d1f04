//! JSON files: an array of objects for the table in the file's name, or an object that maps tables
//! to such arrays. A `.jsonl` file has one object in each line.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::json_text::{self, Row};
use super::loading::{Skipped, column_list, data_refused};
use super::table::SeedTable;
use crate::error::Result;
use crate::names::Ident;
use crate::provision::input_file::InputFile;
use crate::sql_error;

/// The SQLSTATE class `data_exception`: values that do not fit their type.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const DATA_EXCEPTION_CLASS: &str = "22";

/// Inserts the rows of the file. Rows that conflict with existing ones are skipped and counted.
pub(super) async fn load(connection: &mut PgConnection, file: &InputFile) -> Result<Skipped> {
    let text = json_text::read(file)?;
    let tables = if file.ending() == "json" {
        json_text::tables(file, &text)?
    } else {
        json_text::lines(file, &text)?
    };
    let mut skipped = Skipped::new();
    for rows in tables {
        let table = match &rows.key {
            Some(key) => SeedTable::of_key(connection, file, key).await?,
            None => SeedTable::of_file(connection, file).await?,
        };
        let conflicts = insert(connection, file, &table, &rows.rows).await?;
        *skipped.entry(table.name.to_string()).or_default() += conflicts;
    }
    Ok(skipped)
}

/// Inserts the rows of one table, in groups of consecutive rows with the same keys. Returns how
/// many conflicted.
///
/// A group shares one INSERT, so a key that is left out takes the column's default and not null.
async fn insert(
    connection: &mut PgConnection,
    file: &InputFile,
    table: &SeedTable,
    rows: &[Row<'_>],
) -> Result<u64> {
    let mut conflicts = 0;
    let types = column_types(connection, table).await?;
    let mut first = 1;
    for rows in rows.chunk_by(|a, b| a.keys == b.keys) {
        let last = first + rows.len() - 1;
        let group = Group {
            table,
            types: &types,
            rows,
        };
        let inserted = match group.insert(connection).await {
            Ok(inserted) => inserted,
            Err(error) => {
                let unreadable_row = match sql_error::code(&error) {
                    Some(code) if code.starts_with(DATA_EXCEPTION_CLASS) => {
                        group.first_unreadable_row(connection).await
                    }
                    _ => None,
                };
                let name = &table.name;
                let place = match unreadable_row {
                    Some(index) => format!("for table {name}, row {}", first + index),
                    None => format!("for table {name}, rows {first} to {last}"),
                };
                return Err(data_refused(file, &place, error));
            }
        };
        conflicts += (rows.len() as u64).saturating_sub(inserted);
        first = last + 1;
    }
    Ok(conflicts)
}

/// The type of each column, as SQL.
async fn column_types(
    connection: &mut PgConnection,
    table: &SeedTable,
) -> Result<BTreeMap<String, String>> {
    let types: Vec<(String, String)> = sqlx::query_as(
        "select attname::text, format_type(atttypid, atttypmod) from pg_attribute \
         where attrelid = $1::text::regclass and attnum > 0 and not attisdropped",
    )
    .bind(table.name.quoted())
    .fetch_all(connection)
    .await
    .map_err(|error| sql_error::failed("reading the columns of a seed's table", error))?;
    Ok(types.into_iter().collect())
}

/// Rows with the same keys.
struct Group<'a> {
    table: &'a SeedTable,
    types: &'a BTreeMap<String, String>,
    /// Not empty.
    rows: &'a [Row<'a>],
}

impl Group<'_> {
    /// Inserts the rows, and returns how many did not conflict.
    async fn insert(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let insert = format!(
            "insert into {} ({}) overriding system value {} {}",
            self.table.name.quoted(),
            column_list(&self.rows[0].keys),
            self.select(),
            self.table.on_conflict,
        );
        let done = sqlx::query(AssertSqlSafe(insert))
            .bind(text_of(self.rows))
            .execute(connection)
            .await?;
        Ok(done.rows_affected())
    }

    /// The query that converts the rows, an array in `$1`, to the types of their columns.
    ///
    /// The parameter is `json` and not `jsonb`, which would lose the form of numbers. The columns
    /// are listed: `json_populate_recordset` also checks the domains of columns that a row lacks.
    /// For a column that does not exist the query reads the table itself, so that the server
    /// reports the name.
    /// <https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-JSON-PROCESSING>
    fn select(&self) -> String {
        let keys = &self.rows[0].keys;
        let list = column_list(keys);
        let definitions: Option<Vec<String>> = keys
            .iter()
            .map(|key| Some(format!("{} {}", Ident(key), self.types.get(key)?)))
            .collect();
        match definitions {
            Some(definitions) => format!(
                "select {list} from json_to_recordset($1::text::json) as seed ({})",
                definitions.join(", ")
            ),
            None => format!(
                "select {list} from {} where $1::text is null",
                self.table.name.quoted()
            ),
        }
    }

    /// The index of the first row that the server cannot parse.
    ///
    /// The server reports such an error without the row, so a binary search finds it. It needs no
    /// table contents: it only converts the rows. The failed transaction accepts no statement, so
    /// it is rolled back first. That loses nothing, because the build has failed.
    async fn first_unreadable_row(&self, connection: &mut PgConnection) -> Option<usize> {
        sqlx::raw_sql("rollback")
            .execute(&mut *connection)
            .await
            .ok()?;
        let read = self.select();
        let (mut good, mut bad) = (0, self.rows.len());
        // Invariant: the first `good` rows can be parsed, and the first `bad` rows cannot.
        while good + 1 < bad {
            let middle = usize::midpoint(good, bad);
            match sqlx::query(AssertSqlSafe(read.clone()))
                .bind(text_of(&self.rows[..middle]))
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
}

/// The rows as the text of a JSON array.
fn text_of(rows: &[Row<'_>]) -> String {
    let texts: Vec<&str> = rows.iter().map(|row| row.text).collect();
    format!("[{}]", texts.join(","))
}
