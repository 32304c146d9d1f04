//! `ebbtide.toml` as entries with line numbers. Errors name file, line and key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{self, Key};
use super::raw_value::RawValue;
use super::source::{Source, Sourced};
use super::url::without_secrets;
use crate::error::{Error, ErrorKind, Result};
use crate::excerpt::{Position, marked_line};

/// The text of a file, and its path as errors print it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) display_path: &'a Path,
    pub(super) text: &'a str,
    /// The named plan whose section is being read.
    pub(super) plan: Option<&'a str>,
}

/// One key and its value.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    document: Document<'a>,
    /// The full path, such as `server.backend`. In a plan's section it begins with that section.
    path: String,
    pub(super) name: &'a str,
    value: &'a DeValue<'a>,
    at: usize,
}

impl<'a> Document<'a> {
    pub(super) fn parse(self) -> Result<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text).map_err(|error| {
            let start = error.span().map_or(self.text.len(), |span| span.start);
            let Position { line, column } = Position::of_byte(self.text, start);
            let line_text = self.text.lines().nth(line - 1).unwrap_or_default();
            let reason = without_secrets(error.message());
            let message = format!(
                "{}:{line}:{column}: not valid TOML: {reason}",
                self.display_path.display()
            );
            let safe = without_secrets(line_text);
            // A mark below a shortened line would point at nothing.
            let excerpt = if safe == line_text {
                marked_line(line_text, column).join("\n")
            } else {
                safe
            };
            Error::new(ErrorKind::Config, message)
                .with_evidence(format!("line {line}"), excerpt)
                .with_help("correct the line; https://toml.io documents the format")
        })
    }

    /// The entries of a table in the order of the file. `prefix` is the table's path.
    pub(super) fn entries(self, prefix: &str, table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = table
            .iter()
            .map(|(name, value)| {
                let at = name.span().start;
                let name: &str = name.get_ref();
                let path = if prefix.is_empty() {
                    name.to_owned()
                } else {
                    format!("{prefix}.{name}")
                };
                Entry {
                    document: self,
                    path,
                    name,
                    value: value.get_ref(),
                    at,
                }
            })
            .collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// The line of a byte offset, counted from 1.
    fn line(self, offset: usize) -> usize {
        Position::of_byte(self.text, offset).line
    }
}

impl<'a> Entry<'a> {
    pub(super) fn source(&self) -> Source {
        Source::File {
            path: self.document.display_path.to_owned(),
            line: self.document.line(self.at),
            plan: self.document.plan.map(str::to_owned),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of the key, which is the same for every plan.
    pub(super) fn key_path(&self) -> &str {
        let of_plan = self.document.plan.and_then(|plan| {
            let path = self.path.strip_prefix("plan.")?;
            path.strip_prefix(plan)?.strip_prefix('.')
        });
        of_plan.unwrap_or(&self.path)
    }

    /// The same entry as the section of a named plan: what is in it belongs to that plan.
    pub(super) fn of_plan(self) -> Self {
        let plan = Some(self.name);
        let document = Document {
            plan,
            ..self.document
        };
        Self { document, ..self }
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// The entries of this value. If it is not a table, the error prints `legal`, the legal values.
    pub(super) fn table(&self, legal: &str) -> Result<Vec<Entry<'a>>> {
        match self.value {
            DeValue::Table(table) => Ok(self.document.entries(&self.path, table)),
            _ => Err(self.type_error("a table", legal)),
        }
    }

    /// A string for the parsers that all sources share.
    pub(super) fn text(&self, key: &'static Key) -> Result<RawValue> {
        match self.value {
            DeValue::String(text) => Ok(RawValue::quoted(key, self.source(), text.as_ref())),
            _ => Err(self.type_error("a string", key.legal)),
        }
    }

    /// A path that is not blank, below `dir` if it is relative.
    pub(super) fn path_below(&self, key: &'static Key, dir: &Path) -> Result<Sourced<PathBuf>> {
        Ok(self.text(key)?.not_blank()?.map(|text| dir.join(text)))
    }

    pub(super) fn text_or_integer(&self, key: &'static Key) -> Result<RawValue> {
        match self.value {
            DeValue::String(text) => Ok(RawValue::quoted(key, self.source(), text.as_ref())),
            DeValue::Integer(number) => {
                Ok(RawValue::unquoted(key, self.source(), number.to_string()))
            }
            _ => Err(self.type_error("a string or an integer", key.legal)),
        }
    }

    pub(super) fn flag(&self, key: &'static Key) -> Result<bool> {
        self.value
            .as_bool()
            .ok_or_else(|| self.type_error("a boolean", key.legal))
    }

    /// The items of this array. If it is none, the error prints `legal`, the legal values.
    pub(super) fn items(&self, legal: &str) -> Result<Vec<Entry<'a>>> {
        let DeValue::Array(items) = self.value else {
            return Err(self.type_error("an array", legal));
        };
        let item = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| Entry {
            document: self.document,
            path: format!("{}[{index}]", self.path),
            name: self.name,
            value: item.get_ref(),
            at: item.span().start,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn list(&self, key: &'static Key) -> Result<Vec<String>> {
        let text = |item: Entry<'a>| {
            let text = item.value.as_str().map(str::to_owned);
            text.ok_or_else(|| item.type_error("a string", key.legal))
        };
        self.items(key.legal)?.into_iter().map(text).collect()
    }

    pub(super) fn count(&self, key: &'static Key) -> Result<u64> {
        let DeValue::Integer(number) = self.value else {
            return Err(self.type_error("an integer", key.legal));
        };
        u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
            self.error(format!(
                "{} must be a number of rows (a whole number from 0), but is {number}",
                self.path
            ))
            .with_help(format!("legal values: {}", key.legal))
        })
    }

    /// A setting's value as text. TOML's booleans become PostgreSQL's `on` and `off`.
    pub(super) fn scalar(&self, key: &Key) -> Result<String> {
        match self.value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(|number| number.to_string())
                .map_err(|_| {
                    self.error(format!(
                        "{} must fit into 64 bits, but is {number}",
                        self.path
                    ))
                    .with_help(r#"write a smaller number, or one with a unit, such as "8MB""#)
                }),
            DeValue::Float(number) => Ok(number.to_string()),
            DeValue::Boolean(flag) => Ok(if *flag { "on" } else { "off" }.to_owned()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                Err(self.type_error("a string, a number or a boolean", key.legal))
            }
        }
    }

    /// A list of strings for each name.
    pub(super) fn lists(&self, key: &'static Key) -> Result<BTreeMap<String, Vec<String>>> {
        self.table(key.legal)?
            .iter()
            .map(|entry| Ok((entry.name.to_owned(), entry.list(key)?)))
            .collect()
    }

    /// A number of rows for each name.
    pub(super) fn counts(&self, key: &'static Key) -> Result<BTreeMap<String, u64>> {
        self.table(key.legal)?
            .iter()
            .map(|entry| Ok((entry.name.to_owned(), entry.count(key)?)))
            .collect()
    }

    /// The error of a key that is not among `legal`.
    pub(super) fn unknown_key(&self, legal: &[&str]) -> Error {
        self.error(format!("unknown key {}", self.path))
            .with_help(key::unknown_key_help(self.name, legal))
    }

    /// The error of a value of another type than `expected`.
    pub(super) fn type_error(&self, expected: &str, legal: &str) -> Error {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("{} must be {expected}, but is {found}", self.path))
            .with_help(format!("legal values: {legal}"))
    }

    /// An error that begins with the file and the line.
    pub(super) fn error(&self, message: impl AsRef<str>) -> Error {
        Error::new(
            ErrorKind::Config,
            format!("{}: {}", self.source(), message.as_ref()),
        )
    }
}
