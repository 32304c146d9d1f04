//! The files from which a database is built.
//!
//! `reading` finds them, and `fingerprint` hashes them.

use std::path::PathBuf;

use sqlx::migrate::{Migration, Migrator};

use super::input_file::InputFile;
use super::server_wide::{self, ServerWide};
use super::sql_script::Script;
use crate::config::{Layout, MigrationCommand, MigrationFunction};
use crate::error::{ErrorKind, Result};

/// The source of the migrations.
#[derive(Debug, Clone, Default)]
pub(crate) enum MigrationSource {
    #[default]
    None,
    Files(Layout, PathBuf),
    /// sqlx's migrator, embedded in the test's binary.
    Embedded(&'static Migrator),
    Command(MigrationCommand),
    Function(MigrationFunction),
}

/// All input files of one plan, in the order in which they are applied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    pub(super) source: MigrationSource,
    /// The migration files, or the declared inputs of a migration command.
    pub(crate) migrations: Vec<InputFile>,
    pub(crate) seeds: Vec<InputFile>,
}

impl Inputs {
    /// The embedded migrations of a migrator, without seeds.
    pub(crate) fn of_migrator(migrator: &'static Migrator) -> Self {
        // The file name that sqlx would have read, without its directory.
        let name = |migration: &Migration| {
            let ending = migration.migration_type.suffix();
            format!(
                "{}_{}{ending}",
                migration.version,
                migration.description.replace(' ', "_")
            )
        };
        let migrations = migrator.iter().map(|migration| {
            InputFile::embedded("migration", &name(migration), migration.sql.as_str())
        });
        Self {
            source: MigrationSource::Embedded(migrator),
            migrations: migrations.collect(),
            seeds: Vec::new(),
        }
    }

    /// Fixtures of tests. They are applied to a copy of a template, which already has migrations
    /// and seeds.
    pub(crate) fn of_fixtures(fixtures: Vec<InputFile>) -> Self {
        Self {
            source: MigrationSource::None,
            migrations: Vec::new(),
            seeds: fixtures,
        }
    }

    /// The SQL of the migrations; empty for a command or a function, whose SQL is not known.
    pub(super) fn migration_scripts(&self) -> Result<Vec<Script>> {
        let is_sql = |file: &&InputFile| file.path.extension().is_none_or(|ending| ending == "sql");
        let is_known = !matches!(self.source, MigrationSource::Command(_));
        self.migrations
            .iter()
            .filter(|file| is_known && is_sql(file))
            .map(|file| {
                Ok(Script::new(
                    &file.display_path,
                    &file.text(ErrorKind::MigrationSource)?,
                ))
            })
            .collect()
    }

    /// The first statement that affects the whole server. It searches migrations, seeds and the
    /// `.sql` files among a command's inputs.
    ///
    /// A file that cannot be read is skipped: the build reads it again and reports the error.
    pub(crate) fn server_wide(&self) -> Option<ServerWide> {
        let is_sql = |file: &&InputFile| {
            let ending = file.path.extension();
            file.embedded.is_some() || ending.is_some_and(|ending| ending == "sql")
        };
        let files = self.migrations.iter().chain(&self.seeds).filter(is_sql);
        files
            .filter(|file| {
                file.open()
                    .is_ok_and(|text| server_wide::may_be_server_wide(text).unwrap_or_default())
            })
            .filter_map(|file| {
                Some(Script::new(
                    &file.display_path,
                    file.text(ErrorKind::MigrationSource).ok()?,
                ))
            })
            .find_map(|script| ServerWide::find(&script))
    }
}
