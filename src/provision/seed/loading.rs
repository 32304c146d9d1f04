//! What the loaders of SQL, CSV and JSON files share.

use std::time::Duration;

use super::characters::{description, first_invisible};
use crate::error::{Error, ErrorKind};
use crate::names::Ident;
use crate::provision::input_file::InputFile;
use crate::provision::inserted_rows::RowCounts;
use crate::provision::target::Target;
use crate::sql_error;

/// The number of rows that existed already, by table.
pub(super) type Skipped = RowCounts;

/// Called after each full megabyte that was sent, with their number.
pub(super) type OnMegabyte<'a> = &'a (dyn Fn(u64) + Sync);

/// What loading a file needs beside the session.
pub(super) struct Loader<'a> {
    pub(super) target: Target<'a>,
    pub(super) timeout: Duration,
    pub(super) on_megabyte: OnMegabyte<'a>,
}

pub(super) const MEGABYTE: u64 = 1_000_000;

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
    let invisible = first_invisible(refused.message());
    let of_value = invisible.map(|c| {
        let name = description(c);
        format!("the value has an invisible character, {name}: remove it")
    });
    let is_empty_line = |text: &str| text.ends_with(": \"\"");
    let help = match refused.code() {
        // bad_copy_file_format
        "22P04" if refused.r#where().is_some_and(is_empty_line) => {
            "remove the empty line: a row must have a value for every column of the header"
        }
        // cannot insert into a generated column
        "428C9" => "leave out the generated column, which the server computes",
        "42703" => "every name in the header and every key must be a column of the table",
        "53100" => sql_error::DISK_FULL_HELP,
        _ => "correct the data; nothing of this file was kept",
    };
    Error::new(
        kind,
        format!("{step} failed {place}: {}", refused.message()),
    )
    .with_evidence("server error", sql_error::server_report(refused))
    .with_help(of_value.as_deref().unwrap_or(help))
    .with_source(error)
}
