//! The types that a key can have: how a value is read, checked, merged and printed.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::Entry;
use super::key::Key;
use super::raw_value::{RawValue, format_duration};
use super::row::Row;
use super::source::{Source, Sourced};
use super::url::ServerUrl;
use super::value::Choice;
use crate::error::{Error, ErrorKind, Result};

/// The type of a key. Most are the type of the value itself. A type with a further rule is a marker
/// of its own, such as [`Limit`].
pub(crate) trait KeyType {
    /// The value in a source, and in the plan.
    type Value;

    /// Reads a variable. The default is for tables, whose keys have no variable.
    fn from_variable(variable: Variable) -> Result<Sourced<Self::Value>> {
        Err(variable.not_supported())
    }

    /// Reads an entry of `ebbtide.toml`. Relative paths in it are relative to `dir`.
    fn from_file(key: &'static Key, entry: &Entry<'_>, dir: &Path) -> Result<Sourced<Self::Value>>;

    /// Checks a value that code has set.
    fn check(_key: &'static Key, _value: &Self::Value, _source: &Source) -> Result<()> {
        Ok(())
    }

    /// Merges the values of two sources. By default, the stronger one replaces the weaker one.
    fn over(strong: Sourced<Self::Value>, _weak: Sourced<Self::Value>) -> Sourced<Self::Value> {
        strong
    }

    /// The value of the plan: with absolute paths below `root`, and checked on disk.
    fn resolve(
        _key: &'static Key,
        value: Sourced<Self::Value>,
        _root: &Path,
    ) -> Result<Sourced<Self::Value>> {
        Ok(value)
    }

    /// The value in a printed plan. `absent` is the text of a missing value.
    fn print(value: &Self::Value, absent: &str) -> String;

    /// The rows of a printed plan.
    fn rows<'a>(name: &str, value: &'a Sourced<Self::Value>, absent: &str) -> Vec<Row<'a>> {
        let text = Self::print(value.get(), absent);
        vec![Row::new(name, text, &value.source)]
    }
}

/// The unparsed value of a variable. It need not be UTF-8.
#[derive(Debug)]
pub(crate) struct Variable {
    key: &'static Key,
    found: Sourced<OsString>,
}

impl Variable {
    pub(super) fn new(key: &'static Key, found: Sourced<OsString>) -> Self {
        Self { key, found }
    }

    /// # Errors
    ///
    /// The value is not UTF-8.
    pub(super) fn text(self) -> Result<RawValue> {
        let Self { key, found } = self;
        let name = match found.source {
            Source::Variable(name) | Source::DotEnv(name) => name,
            _ => key.variable,
        };
        let Ok(text) = found.value.into_string() else {
            let message = format!("{name} must be valid UTF-8, but is not");
            return Err(Error::new(ErrorKind::Config, message)
                .with_help(format!("set {name} to UTF-8 text, or unset it")));
        };
        Ok(RawValue::quoted(key, found.source, text))
    }

    /// The path, unchanged.
    pub(super) fn path(self) -> Sourced<PathBuf> {
        self.found.map(PathBuf::from)
    }

    fn not_supported(&self) -> Error {
        let Key { path, variable, .. } = self.key;
        let message = format!("{variable} cannot set {path}, which is a table");
        Error::new(ErrorKind::Config, message)
            .with_help(format!("unset {variable}, and set {path} in ebbtide.toml"))
    }
}

/// One of a few words.
impl<T: Choice + fmt::Display> KeyType for T {
    type Value = T;

    fn from_variable(variable: Variable) -> Result<Sourced<T>> {
        variable.text()?.choice()
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<T>> {
        entry.text(key)?.choice()
    }

    fn print(value: &T, _absent: &str) -> String {
        value.to_string()
    }
}

impl KeyType for bool {
    type Value = bool;

    fn from_variable(variable: Variable) -> Result<Sourced<bool>> {
        variable.text()?.flag()
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<bool>> {
        Ok(Sourced::new(entry.flag(key)?, entry.source()))
    }

    fn print(value: &bool, _absent: &str) -> String {
        value.to_string()
    }
}

/// A major version of PostgreSQL.
#[derive(Debug)]
pub(crate) enum MajorVersion {}

impl KeyType for MajorVersion {
    type Value = u32;

    fn from_variable(variable: Variable) -> Result<Sourced<u32>> {
        variable.text()?.major_version()
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<u32>> {
        entry.text_or_integer(key)?.major_version()
    }

    fn check(key: &'static Key, value: &u32, source: &Source) -> Result<()> {
        RawValue::unquoted(key, source.clone(), value.to_string())
            .major_version()
            .map(drop)
    }

    fn print(value: &u32, _absent: &str) -> String {
        value.to_string()
    }
}

/// A text that is not blank.
impl KeyType for String {
    type Value = String;

    fn from_variable(variable: Variable) -> Result<Sourced<String>> {
        variable.text()?.not_blank()
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<String>> {
        entry.text(key)?.not_blank()
    }

    fn check(key: &'static Key, value: &String, source: &Source) -> Result<()> {
        RawValue::quoted(key, source.clone(), value)
            .not_blank()
            .map(drop)
    }

    fn print(value: &String, _absent: &str) -> String {
        value.clone()
    }
}

impl KeyType for ServerUrl {
    type Value = ServerUrl;

    fn from_variable(variable: Variable) -> Result<Sourced<ServerUrl>> {
        variable.text()?.url()
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<ServerUrl>> {
        entry.text(key)?.url()
    }

    fn check(key: &'static Key, value: &ServerUrl, source: &Source) -> Result<()> {
        RawValue::quoted(key, source.clone(), value.expose())
            .url()
            .map(drop)
    }

    fn print(value: &ServerUrl, _absent: &str) -> String {
        value.to_string()
    }
}

impl KeyType for Duration {
    type Value = Duration;

    fn from_variable(variable: Variable) -> Result<Sourced<Duration>> {
        variable.text()?.duration()
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Duration>> {
        entry.text(key)?.duration()
    }

    fn print(value: &Duration, _absent: &str) -> String {
        format_duration(*value)
    }
}

/// The time limit of a step: a duration greater than zero.
#[derive(Debug)]
pub(crate) enum Limit {}

impl KeyType for Limit {
    type Value = Duration;

    fn from_variable(variable: Variable) -> Result<Sourced<Duration>> {
        variable.text()?.positive_duration()
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Duration>> {
        entry.text(key)?.positive_duration()
    }

    fn check(key: &'static Key, value: &Duration, source: &Source) -> Result<()> {
        if value.is_zero() {
            let text = format_duration(Duration::ZERO);
            RawValue::unquoted(key, source.clone(), text).positive_duration()?;
        }
        Ok(())
    }

    fn print(value: &Duration, _absent: &str) -> String {
        format_duration(*value)
    }
}

impl KeyType for PathBuf {
    type Value = PathBuf;

    fn from_variable(variable: Variable) -> Result<Sourced<PathBuf>> {
        Ok(variable.path())
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, dir: &Path) -> Result<Sourced<PathBuf>> {
        entry.path_below(key, dir)
    }

    fn resolve(
        _key: &'static Key,
        value: Sourced<PathBuf>,
        root: &Path,
    ) -> Result<Sourced<PathBuf>> {
        Ok(value.map(|path| root.join(path)))
    }

    fn print(value: &PathBuf, _absent: &str) -> String {
        value.display().to_string()
    }
}

/// A value without a default. A source that has the key has a value.
impl<T: KeyType> KeyType for Option<T> {
    type Value = Option<T::Value>;

    fn from_variable(variable: Variable) -> Result<Sourced<Self::Value>> {
        T::from_variable(variable).map(|value| value.map(Some))
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, dir: &Path) -> Result<Sourced<Self::Value>> {
        T::from_file(key, entry, dir).map(|value| value.map(Some))
    }

    fn check(key: &'static Key, value: &Self::Value, source: &Source) -> Result<()> {
        value
            .as_ref()
            .map_or(Ok(()), |value| T::check(key, value, source))
    }

    fn resolve(
        key: &'static Key,
        value: Sourced<Self::Value>,
        root: &Path,
    ) -> Result<Sourced<Self::Value>> {
        let Sourced { value, source } = value;
        match value {
            Some(value) => {
                T::resolve(key, Sourced::new(value, source), root).map(|value| value.map(Some))
            }
            None => Ok(Sourced::new(None, source)),
        }
    }

    fn print(value: &Self::Value, absent: &str) -> String {
        value
            .as_ref()
            .map_or(absent.to_owned(), |value| T::print(value, absent))
    }
}
