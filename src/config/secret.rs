//! A password that no output shows.

use std::fmt;
use std::path::Path;

use super::document::Entry;
use super::key::Key;
use super::key_type::{KeyType, Variable};
use super::source::Sourced;
use crate::error::Result;

/// A password. `Display` and `Debug` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself. Use it to connect, and do not print it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl KeyType for Secret {
    type Value = Self;

    fn from_variable(variable: Variable) -> Result<Sourced<Self>> {
        Ok(variable.text()?.not_blank()?.map(Self))
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Self>> {
        Ok(entry.text(key)?.not_blank()?.map(Self))
    }

    fn print(value: &Self, _absent: &str) -> String {
        value.to_string()
    }
}
