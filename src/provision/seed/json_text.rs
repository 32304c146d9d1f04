//! The text of a JSON seed, split into tables and rows. Values stay text, so that the server parses
//! every digit as the user wrote it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::characters::{BYTE_ORDER_MARK, Defect, is_invisible, is_utf16};
use crate::error::{Error, ErrorKind, Result};
use crate::excerpt::Position;
use crate::provision::input_file::InputFile;

/// The rows of one table.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    /// The key above the rows. `None`: they are for the table in the file's name.
    pub(super) key: Option<String>,
    pub(super) rows: Vec<Row<'a>>,
}

/// One object.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) text: &'a str,
    /// The keys, sorted.
    pub(super) keys: Vec<String>,
}

/// Reads the text of a file without a byte order mark.
pub(super) fn read(file: &InputFile) -> Result<String> {
    let mut bytes = Vec::new();
    file.open()
        .and_then(|mut source| source.read_to_end(&mut bytes))
        .map_err(|error| {
            let message = format!("{} cannot be read", file.display_path);
            Error::new(ErrorKind::Seed, message).with_source(error)
        })?;
    if is_utf16(&bytes) {
        return Err(Defect::Utf16.error(file, 1, 1));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let readable = String::from_utf8_lossy(error.as_bytes());
        let at = error.utf8_error().valid_up_to();
        let Position { line, column } = Position::of_byte(&readable, at);
        Defect::NotUtf8.error(file, line, column)
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(text) => text.to_owned(),
        None => text,
    })
}

/// The tables of a file in its order: one for an array, or one for each key of an object.
pub(super) fn tables<'a>(file: &InputFile, text: &'a str) -> Result<Vec<Rows<'a>>> {
    match text.trim_start().chars().next() {
        Some('[') => {
            let items = parse::<Vec<&RawValue>>(file, text)?;
            let rows = rows(file, items)?;
            Ok(vec![Rows { key: None, rows }])
        }
        Some('{') => {
            let Members(tables) = parse(file, text)?;
            if let Some(key) = repeated(tables.iter().map(|(key, _)| key)) {
                let message = format!("the key {key:?} must stand once");
                return Err(wrong_shape(file, &message));
            }
            let table = |(key, value): (String, &'a RawValue)| {
                let items = serde_json::from_str(value.get()).map_err(|_| {
                    wrong_shape(file, &format!("expected an array of rows under {key:?}"))
                })?;
                let rows = rows(file, items)?;
                Ok(Rows {
                    key: Some(key),
                    rows,
                })
            };
            tables.into_iter().map(table).collect()
        }
        _ => {
            // The parser's own error has a place; a number or a string alone is JSON, too.
            parse::<&RawValue>(file, text)?;
            Err(wrong_shape(file, "expected an array or an object"))
        }
    }
}

/// The rows of a file with one object in each line.
pub(super) fn lines<'a>(file: &InputFile, text: &'a str) -> Result<Vec<Rows<'a>>> {
    let items = serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<Vec<&RawValue>, _>>()
        .map_err(|error| not_json(file, text, error))?;
    let rows = rows(file, items)?;
    Ok(vec![Rows { key: None, rows }])
}

fn rows<'a>(file: &InputFile, items: Vec<&'a RawValue>) -> Result<Vec<Row<'a>>> {
    let row = |(index, item): (usize, &'a RawValue)| {
        let number = index + 1;
        let text = item.get();
        let Ok(Members(members)) = serde_json::from_str(text) else {
            let message = format!("expected row {number} to be an object with columns");
            return Err(wrong_shape(file, &message));
        };
        let mut keys: Vec<String> = members.into_iter().map(|(key, _)| key).collect();
        if let Some(key) = repeated(keys.iter()) {
            let message = format!("row {number} has the key {key:?} twice");
            return Err(wrong_shape(file, &message));
        }
        if keys.is_empty() {
            let message = format!("expected row {number} to be an object with columns");
            return Err(wrong_shape(file, &message));
        }
        keys.sort_unstable();
        Ok(Row { text, keys })
    };
    items.into_iter().enumerate().map(row).collect()
}

/// The members of an object in their order, repeated keys included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(OfObject)
    }
}

fn repeated<'a>(keys: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let mut once = std::collections::BTreeSet::new();
    let mut keys = keys.map(String::as_str);
    keys.find(|key| !once.insert(*key))
}

fn parse<'a, T: Deserialize<'a>>(file: &InputFile, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| not_json(file, text, error))
}

/// The error for a text that is not JSON. An invisible character at the place is the cause.
fn not_json(file: &InputFile, text: &str, error: serde_json::Error) -> Error {
    // The parser counts bytes, and points at the last one that it read.
    let before = error.line().saturating_sub(1);
    let line_text = text.split('\n').nth(before).unwrap_or_default();
    let at = line_text.floor_char_boundary(error.column().saturating_sub(1));
    let column = line_text[..at].chars().count() + 1;
    // Inside a string, the parser stops before the character.
    let near = line_text[at..].chars().take(2).zip(column..);
    for (c, column) in near {
        match c {
            '\0' => return Defect::ZeroByte.error(file, error.line(), column),
            c if is_invisible(c) => {
                return Defect::Invisible(c).error(file, error.line(), column);
            }
            _ => {}
        }
    }
    let place = format!("{}:{}:{column}", file.display_path, error.line());
    Error::new(ErrorKind::Seed, format!("{place} is not JSON"))
        .with_source(error)
        .with_help(
            "correct the file there; JSON has no comments, no comma before a closing bracket, and \
             no single quotes",
        )
}

pub(super) fn wrong_shape(file: &InputFile, what: &str) -> Error {
    Error::new(
        ErrorKind::Seed,
        format!("{} is not a valid JSON seed: {what}", file.display_path),
    )
    .with_help(
        "write an array of objects for the table in the file's name, or an object that maps tables \
         to such arrays",
    )
}
