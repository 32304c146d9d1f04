//! `sqlx.toml`: sqlx's own configuration of a package, as far as it is about migrations.
//!
//! sqlx reads the file in `sqlx::migrate!()` and in its command line
//! (<https://docs.rs/sqlx/latest/sqlx/config/index.html>), and `Migrator::new` does not. As sqlx
//! does, ebbtide rejects a key that it does not know: the key may change the ledger.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::migrations::Migrations;
use super::source::{Source, Sourced};
use crate::error::{Error, ErrorKind, Result};
use crate::excerpt::Position;
use crate::names::PartsHash;

const NAME: &str = "sqlx.toml";

/// The section `[migrate]` of a `sqlx.toml`. Without a file, sqlx's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SqlxToml {
    /// SQL: the ledger's name, with or without a schema.
    pub(crate) table_name: Option<String>,
    /// SQL: the names of schemas that sqlx creates before the ledger, in this order.
    pub(crate) create_schemas: BTreeSet<String>,
    /// Characters that do not count in the checksum of a migration.
    pub(crate) ignored_chars: BTreeSet<char>,
}

impl SqlxToml {
    /// The file that applies to a directory of migrations: that of the package which contains the
    /// directory, else that of the package under test.
    ///
    /// # Errors
    /// The file cannot be read, or sqlx would reject it.
    pub(crate) fn of_migrations(dir: &Path, package_root: &Path) -> Result<Self> {
        let package = dir.ancestors().find(|dir| dir.join("Cargo.toml").is_file());
        for root in package.into_iter().chain([package_root]) {
            if let Some((migrate, _, _)) = read(&root.join(NAME))? {
                return Ok(Self {
                    table_name: migrate.table_name,
                    create_schemas: migrate.create_schemas,
                    ignored_chars: migrate.ignored_chars,
                });
            }
        }
        Ok(Self::default())
    }

    /// Adds what changes the database to the fingerprint.
    pub(crate) fn hash_into(&self, hash: &mut PartsHash) {
        // Without `..`: a new field does not compile until it is here.
        let Self {
            table_name,
            create_schemas,
            ignored_chars,
        } = self;
        if let Some(table) = table_name {
            hash.part("sqlx table", table);
        }
        if !create_schemas.is_empty() {
            hash.list("sqlx schemas", create_schemas);
        }
        if !ignored_chars.is_empty() {
            hash.part("sqlx ignored", ignored_chars.iter().collect::<String>());
        }
    }
}

/// The directory that the package's `sqlx.toml` names, as `sqlx::migrate!()` without an argument
/// finds it. `None` if there is no such file or key.
pub(super) fn migrations_dir(package_root: &Path) -> Result<Option<Sourced<Option<Migrations>>>> {
    let Some((migrate, path, text)) = read(&package_root.join(NAME))? else {
        return Ok(None);
    };
    let sourced = |dir: Spanned<String>| {
        let line = Position::of_byte(&text, dir.span().start).line;
        let path = path.strip_prefix(package_root).unwrap_or(&path).to_owned();
        let dir = package_root.join(dir.into_inner());
        let plan = None;
        Sourced::new(
            Some(Migrations::sqlx(dir)),
            Source::File { path, line, plan },
        )
    };
    Ok(migrate.migrations_dir.map(sourced))
}

/// A whole `sqlx.toml`. The other sections are about sqlx's macros, drivers and variables, which
/// do not change a migrated database.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    migrate: Migrate,
    #[serde(default, rename = "common")]
    _common: IgnoredAny,
    #[serde(default, rename = "drivers")]
    _drivers: IgnoredAny,
    #[serde(default, rename = "macros")]
    _macros: IgnoredAny,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct Migrate {
    create_schemas: BTreeSet<String>,
    table_name: Option<String>,
    migrations_dir: Option<Spanned<String>>,
    ignored_chars: BTreeSet<char>,
    /// What `sqlx migrate add` writes into a new file.
    #[serde(rename = "defaults")]
    _defaults: IgnoredAny,
}

/// The section, the path and the text of a file, if it exists.
fn read(path: &Path) -> Result<Option<(Migrate, PathBuf, String)>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("{} cannot be read", path.display()),
        )
        .with_source(error)
        .with_help("make it a readable file of UTF-8 text")
    })?;
    match toml::from_str::<File>(&text) {
        Ok(file) => Ok(Some((file.migrate, path.to_owned(), text))),
        Err(error) => {
            let message = format!(
                "{} must be a configuration that sqlx accepts, but is not",
                path.display()
            );
            Err(Error::new(ErrorKind::Config, message)
                .with_source(error)
                .with_help(
                    "correct the key: ebbtide reads the file as sqlx 0.9 does; to use another \
                     ledger than sqlx's, run the tool in a command or a function",
                ))
        }
    }
}
