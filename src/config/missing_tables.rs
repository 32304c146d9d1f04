//! The tables that may be missing although a migration creates them.

use std::path::Path;

use toml::de::DeValue;

use super::document::Entry;
use super::key::Key;
use super::key_type::{KeyType, Variable};
use super::raw_value::RawValue;
use super::source::{Source, Sourced};
use super::value::without_repeats;
use crate::error::Result;
use crate::names::PartsHash;

/// The tables that may be missing although a migration creates them, and no statement that ebbtide
/// can read drops them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MissingTables {
    /// These tables, written `table` or `schema.table`.
    These(Vec<String>),
    All,
}

impl MissingTables {
    /// Whether the table may be missing. `public` may be left out on both sides.
    pub(crate) fn contain(&self, table: &str) -> bool {
        let bare = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
        match self {
            Self::All => true,
            Self::These(tables) => tables.iter().any(|name| bare(name) == bare(table)),
        }
    }

    /// Adds them to the fingerprint: a template was verified with them.
    pub(crate) fn hash_into(&self, hash: &mut PartsHash) {
        match self {
            Self::These(tables) if tables.is_empty() => {}
            Self::These(tables) => hash.list("missing tables", tables),
            Self::All => hash.part("missing tables", "all"),
        }
    }

    pub(super) fn these(tables: Vec<String>) -> Self {
        Self::These(without_repeats(tables))
    }
}

impl Default for MissingTables {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl KeyType for MissingTables {
    type Value = Self;

    fn from_variable(variable: Variable) -> Result<Sourced<Self>> {
        let text = variable.text()?.not_blank()?;
        Ok(text.map(|text| match text.trim() {
            "true" => Self::All,
            "false" => Self::default(),
            list => Self::these(RawValue::items(list).map(str::to_owned).collect()),
        }))
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Self>> {
        let value = match entry.value() {
            DeValue::Boolean(true) => Self::All,
            DeValue::Boolean(false) => Self::default(),
            DeValue::Array(_) => Self::these(entry.list(key)?),
            _ => return Err(entry.type_error("a list of tables, true or false", key.legal)),
        };
        Ok(Sourced::new(value, entry.source()))
    }

    fn check(key: &'static Key, value: &Self, source: &Source) -> Result<()> {
        let tables = match value {
            Self::These(tables) => &tables[..],
            Self::All => &[],
        };
        tables
            .iter()
            .try_for_each(|table| String::check(key, table, source))
    }

    fn print(value: &Self, absent: &str) -> String {
        match value {
            Self::These(tables) if tables.is_empty() => absent.to_owned(),
            Self::These(tables) => tables.join(", "),
            Self::All => "all".to_owned(),
        }
    }
}
