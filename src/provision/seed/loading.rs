//! What the loaders of SQL, CSV and JSON files share.

use std::collections::BTreeMap;

use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Ident;
use crate::provision::input_file::InputFile;
use crate::sql_error;

/// The number of rows that existed already, by table.
pub(super) type Skipped = BTreeMap<String, u64>;

/// Called after each full megabyte that was sent, with their number.
pub(super) type OnMegabyte<'a> = &'a (dyn Fn(u64) + Sync);

pub(super) const MEGABYTE: u64 = 1_000_000;

/// The table that a CSV or JSON file is for: `010_sales.orders.csv` is for `sales.orders`.
pub(super) fn table_of(file: &InputFile) -> Result<RelationName> {
    let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start_matches(['_', '-']);
    if name.is_empty() {
        return Err(Error::new(
            ErrorKind::Seed,
            format!(
                "the name of a CSV or JSON file must contain its table, but {} does not",
                file.display_path
            ),
        )
        .with_help(
            "name the file after its table, with a number in front for the order: 010_services.csv",
        ));
    }
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    Ok(RelationName {
        schema: schema.to_owned(),
        name: name.to_owned(),
    })
}

/// The columns for SQL, quoted and separated by commas.
pub(super) fn column_list(columns: &[String]) -> String {
    columns
        .iter()
        .map(|column| Ident(column).to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The error for refused data for which the user wrote no statement. `place` locates the data in
/// the file.
pub(super) fn data_refused(file: &InputFile, place: &str, error: sqlx::Error) -> Error {
    let step = format!("{} {}", file.noun, file.display_path);
    let Some(refused) = sql_error::refusal(&error) else {
        return sql_error::failed(&step, error);
    };
    let kind = sql_error::kind_of(&error, ErrorKind::Seed);
    let help = match refused.code() {
        "42P01" => {
            "name the file after its table, with a number in front for the order; a migration must \
             create the table"
        }
        "42703" => "every name in the header and every key must be a column of the table",
        "53100" => sql_error::DISK_FULL_HELP,
        _ => "correct the data; nothing of this file was kept",
    };
    Error::new(
        kind,
        format!("{step} failed {place}: {}", refused.message()),
    )
    .with_evidence("server error", sql_error::server_report(refused))
    .with_help(help)
    .with_source(error)
}
