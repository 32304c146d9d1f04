//! The files from which a database is built.
//!
//! `reading` finds them, and `fingerprint` hashes them.

use std::path::PathBuf;

use sqlx::migrate::{Migration, Migrator};

use super::input_file::InputFile;
use super::server_wide::{self, ServerWide};
use super::sql_script::Script;
use crate::config::{Layout, MigrationCommand, MigrationFunction, Plan, SqlxToml};
use crate::error::{ErrorKind, Result};

/// Where one source's migrations come from.
#[derive(Debug, Clone)]
pub(crate) enum MigrationSource {
    Files(Layout, PathBuf),
    /// sqlx's migrator, embedded in the test's binary.
    Embedded(&'static Migrator),
    Command(MigrationCommand),
    Function(MigrationFunction),
}

/// One source of migrations, and its files in the order in which they are applied.
#[derive(Debug, Clone)]
pub(crate) struct MigrationInputs {
    pub(super) source: MigrationSource,
    /// sqlx's own configuration, for a directory of sqlx migrations.
    pub(super) sqlx: SqlxToml,
    /// The migration files, or the declared inputs of a migration command.
    pub(super) files: Vec<InputFile>,
    pub(super) role: SourceRole,
}

/// What a source of SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceRole {
    /// What must exist before the first migration.
    Bootstrap,
    Migrations,
}

/// All input files of one plan, in the order in which they are applied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    /// Plain SQL that runs before the migrations.
    pub(super) bootstrap: Option<MigrationInputs>,
    /// The sources of the migrations. Each is complete before the next begins.
    pub(super) migrations: Vec<MigrationInputs>,
    pub(crate) seeds: Vec<InputFile>,
}

impl MigrationInputs {
    /// The embedded migrations of a migrator.
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
        let files = migrator.iter().map(|migration| {
            InputFile::embedded("migration", &name(migration), migration.sql.as_str())
        });
        Self {
            source: MigrationSource::Embedded(migrator),
            sqlx: SqlxToml::default(),
            files: files.collect(),
            role: SourceRole::Migrations,
        }
    }

    pub(super) fn is_bootstrap(&self) -> bool {
        self.role == SourceRole::Bootstrap
    }

    /// Whether one of the files is a down migration.
    pub(super) fn has_down(&self) -> bool {
        self.files.iter().any(InputFile::is_down)
    }

    /// The SQL of the migrations; empty for a command or a function, whose SQL is not known.
    pub(super) fn scripts(&self) -> Result<Vec<Script>> {
        let is_sql = |file: &&InputFile| file.path.extension().is_none_or(|ending| ending == "sql");
        let is_known = !matches!(self.source, MigrationSource::Command(_));
        self.files
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
}

impl Inputs {
    /// The files of a plan, with the embedded migrations of a migrator.
    pub(crate) fn with_migrator(plan: &Plan, migrator: &'static Migrator) -> Result<Self> {
        Ok(Self {
            migrations: vec![MigrationInputs::of_migrator(migrator)],
            ..Self::read(plan)?
        })
    }

    /// Fixtures of tests. They are applied to a copy of a template, which already has migrations
    /// and seeds.
    pub(crate) fn of_fixtures(fixtures: Vec<InputFile>) -> Self {
        Self {
            seeds: fixtures,
            ..Self::default()
        }
    }

    /// The bootstrap, then every source of migrations.
    pub(super) fn sources(&self) -> impl Iterator<Item = &MigrationInputs> {
        self.bootstrap.iter().chain(&self.migrations)
    }

    /// The first statement that affects the whole server. It searches the bootstrap, the
    /// migrations, the seeds, and the `.sql` files among a command's inputs.
    ///
    /// A file that cannot be read is skipped: the build reads it again and reports the error.
    pub(crate) fn server_wide(&self) -> Option<ServerWide> {
        let is_sql = |file: &&InputFile| {
            let is_data = ["csv", "tsv", "json", "jsonl", "ndjson"].contains(&&*file.ending());
            file.ending() == "sql" || (file.embedded.is_some() && !is_data)
        };
        let of_sources = self.sources().flat_map(|source| &source.files);
        of_sources
            .chain(&self.seeds)
            .filter(is_sql)
            .filter(|file| {
                file.open()
                    .is_ok_and(|text| server_wide::may_be_server_wide(text).unwrap_or_default())
            })
            .find_map(ServerWide::find)
    }
}
