//! The user's settings of PostgreSQL.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;

use super::document::Entry;
use super::key::Key;
use super::key_type::KeyType;
use super::row::Row;
use super::source::{Source, Sourced};
use crate::error::{Error, ErrorKind, Result};

/// Settings by name in lower case, because PostgreSQL's setting names ignore case. It dereferences
/// to the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    values: BTreeMap<String, String>,
    /// The source of each setting: the settings of one plan can have several sources.
    pub(super) sources: BTreeMap<String, Source>,
}

impl Settings {
    pub(super) fn insert(&mut self, name: &str, value: String, source: Source) {
        let name = name.to_ascii_lowercase();
        self.values.insert(name.clone(), value);
        self.sources.insert(name, source);
    }

    /// The settings with one source for all, which the plan prints: the builder and one line of the
    /// file. The builder is first, because it overrides the file. No variable sets a setting.
    pub(super) fn with_common_source(self) -> Sourced<Self> {
        let mut sources = self.sources.values();
        let of_builder = sources.clone().find(|source| **source == Source::Builder);
        let of_file = sources.find(|source| **source != Source::Builder);
        let source = match (of_builder, of_file) {
            (Some(strong), Some(weak)) => strong.clone().and(weak.clone()),
            (one, other) => one.or(other).cloned().unwrap_or(Source::Default),
        };
        Sourced::new(self, source)
    }
}

impl Deref for Settings {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}

impl KeyType for Settings {
    type Value = Settings;

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Self>> {
        let mut settings = Settings::default();
        for setting in entry.table(key.legal)? {
            let (name, value) = (setting.name.to_ascii_lowercase(), setting.scalar(key)?);
            check_setting(key, &setting.source(), &name, &value)?;
            settings.insert(&name, value, setting.source());
        }
        Ok(settings.with_common_source())
    }

    fn check(key: &'static Key, value: &Self, source: &Source) -> Result<()> {
        value
            .iter()
            .try_for_each(|(name, value)| check_setting(key, source, name, value))
    }

    /// Merges by name.
    fn over(strong: Sourced<Self>, weak: Sourced<Self>) -> Sourced<Self> {
        let mut merged = weak.value;
        merged.values.extend(strong.value.values);
        merged.sources.extend(strong.value.sources);
        merged.with_common_source()
    }

    fn print(value: &Self, absent: &str) -> String {
        let names: Vec<&str> = value.keys().map(String::as_str).collect();
        if names.is_empty() {
            absent.to_owned()
        } else {
            names.join(", ")
        }
    }

    /// A row for each setting.
    fn rows<'a>(name: &str, value: &'a Sourced<Self>, _absent: &str) -> Vec<Row<'a>> {
        value
            .iter()
            .zip(value.sources.values())
            .map(|((setting, value), source)| Row::new(format!("{name}.{setting}"), value, source))
            .collect()
    }
}

/// Checks one setting of PostgreSQL.
///
/// # Errors
///
/// The name is not that of a setting, ebbtide manages the setting, or the value contains a zero
/// byte.
fn check_setting(key: &Key, source: &Source, name: &str, value: &str) -> Result<()> {
    const MANAGED: [&str; 11] = [
        "port",
        "listen_addresses",
        "unix_socket_directories",
        "unix_socket_permissions",
        "data_directory",
        "config_file",
        "hba_file",
        "ident_file",
        "external_pid_file",
        "logging_collector",
        "log_destination",
    ];
    let error = |subject: String, rule: &str, help: &str| {
        Err(Error::new(ErrorKind::Config, format!("{subject} {rule}")).with_help(help))
    };
    let subject = || match source {
        Source::File { .. } => format!("{source}: {}.{name}", source.path_of(key.path)),
        _ => format!("Builder::{}({name:?}, ..): {name}", key.method),
    };
    let mut letters = name.chars();
    let is_name = letters
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.');
    if !is_name {
        let place = match source {
            Source::File { .. } => format!("{source}: a key of {}", source.path_of(key.path)),
            _ => format!("the first argument of Builder::{}", key.method),
        };
        return error(
            place,
            &format!("must be the name of a setting, but is {name:?}"),
            "begin the name with a letter or _, and continue with letters, digits, _ and ., \
             for example work_mem or pg_trgm.similarity_threshold",
        );
    }
    if MANAGED.contains(&name) || name.starts_with("ebbtide.") {
        return error(
            subject(),
            "is managed by ebbtide and cannot be set",
            "remove it: ebbtide decides where its servers listen, log and keep their data",
        );
    }
    if value.contains('\0') {
        return error(
            subject(),
            "must not contain a zero byte",
            "remove the zero byte: no setting of PostgreSQL can contain one",
        );
    }
    Ok(())
}
