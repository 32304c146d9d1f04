//! `ebbtide.toml` as entries with line numbers, read with errors that name file, line and key.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::given::Given;
use super::key::{self, Key};
use super::source::Source;
use super::url::without_secrets;
use crate::error::{Error, ErrorKind, Result};

/// The text of a file and the name under which errors show it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) shown: &'a Path,
    pub(super) text: &'a str,
}

/// One key and its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    document: Document<'a>,
    /// The full path, such as `server.backend`.
    path: String,
    pub(super) name: &'a str,
    value: &'a DeValue<'a>,
    at: usize,
}

impl<'a> Document<'a> {
    pub(super) fn parse(self) -> Result<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text).map_err(|error| {
            let start = error
                .span()
                .map_or(self.text.len(), |span| span.start.min(self.text.len()));
            let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
            let (line, column) = (
                self.line(start),
                self.text[line_start..start].chars().count() + 1,
            );
            let excerpt = self.text[line_start..].lines().next().unwrap_or_default();
            let reason = without_secrets(error.message());
            let message = format!(
                "{}:{line}:{column}: not valid TOML: {reason}",
                self.shown.display()
            );
            let shown = without_secrets(excerpt);
            // A column beyond the end would point at what is not shown.
            let mark = if shown == excerpt {
                format!("\n{}^", " ".repeat(column - 1))
            } else {
                String::new()
            };
            Error::new(ErrorKind::Config, message)
                .with_evidence(format!("line {line}"), format!("{shown}{mark}"))
                .with_help("correct the line; toml.io explains the format")
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

    /// Counted from 1.
    fn line(self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }
}

impl<'a> Entry<'a> {
    pub(super) fn source(&self) -> Source {
        Source::File {
            path: self.document.shown.to_owned(),
            line: self.document.line(self.at),
        }
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// The entries of a table.
    pub(super) fn table(&self, legal: &str) -> Result<Vec<Entry<'a>>> {
        match self.value {
            DeValue::Table(table) => Ok(self.document.entries(&self.path, table)),
            _ => Err(self.is_not("a table", legal)),
        }
    }

    /// A string for the parsers that every voice shares.
    pub(super) fn text(&self, key: &'static Key) -> Result<Given> {
        match self.value {
            DeValue::String(text) => Ok(Given::text(key, self.source(), text.as_ref())),
            _ => Err(self.is_not("a string", key.legal)),
        }
    }

    pub(super) fn text_or_integer(&self, key: &'static Key) -> Result<Given> {
        match self.value {
            DeValue::String(text) => Ok(Given::text(key, self.source(), text.as_ref())),
            DeValue::Integer(number) => Ok(Given::bare(key, self.source(), number.to_string())),
            _ => Err(self.is_not("a string or an integer", key.legal)),
        }
    }

    pub(super) fn flag(&self, key: &'static Key) -> Result<bool> {
        self.value
            .as_bool()
            .ok_or_else(|| self.is_not("a boolean", key.legal))
    }

    pub(super) fn list(&self, key: &'static Key) -> Result<Vec<String>> {
        let DeValue::Array(items) = self.value else {
            return Err(self.is_not("an array", key.legal));
        };
        let item = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let path = format!("{}[{index}]", self.path);
            let item = Entry {
                document: self.document,
                path,
                name: self.name,
                value: item.get_ref(),
                at: item.span().start,
            };
            item.value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| item.is_not("a string", key.legal))
        };
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn count(&self, key: &'static Key) -> Result<u64> {
        let DeValue::Integer(number) = self.value else {
            return Err(self.is_not("an integer", key.legal));
        };
        u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
            self.error(format!(
                "{} = {number} is not a number of rows: a whole number from 0",
                self.path
            ))
        })
    }

    /// Whatever can stand for the value of a setting.
    pub(super) fn scalar(&self) -> Result<String> {
        match self.value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(|number| number.to_string())
                .map_err(|_| {
                    self.error(format!(
                        "{} = {number} is too large for any setting",
                        self.path
                    ))
                }),
            DeValue::Float(number) => Ok(number.to_string()),
            DeValue::Boolean(flag) => Ok(if *flag { "on" } else { "off" }.to_owned()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                Err(self.is_not("a string, a number or a boolean", key::SETTINGS.legal))
            }
        }
    }

    /// A list of texts for each name.
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

    /// This key is none of `legal`.
    pub(super) fn unknown(&self, legal: &[&str]) -> Error {
        self.error(format!("unknown key {}", self.path))
            .with_help(key::advice(self.name, legal))
    }

    pub(super) fn is_not(&self, expected: &str, legal: &str) -> Error {
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
        self.error(format!("{} is {found}, not {expected}", self.path))
            .with_help(format!("legal values: {legal}"))
    }

    pub(super) fn error(&self, message: impl AsRef<str>) -> Error {
        Error::new(
            ErrorKind::Config,
            format!("{}: {}", self.source(), message.as_ref()),
        )
    }
}
