//! The files from which a database is built.
//!
//! `reading` finds them, and `fingerprint` hashes them.

use std::path::PathBuf;

use sqlx::migrate::{Migration, Migrator};

use super::input_file::InputFile;
use super::invisible::Invisible;
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
    /// The migration files, or the declared inputs of a migration command. In a part of a source,
    /// only the files up to its last version.
    pub(super) files: Vec<InputFile>,
    pub(super) part: SourcePart,
    /// Entries of the migrations directory that look like migrations and are not applied.
    pub(super) not_applied: Vec<String>,
    pub(super) role: SourceRole,
}

/// Which part of a source is applied: by default all of it.
#[derive(Debug, Clone, Default)]
pub(super) struct SourcePart {
    /// The number of the first migrations that are applied already, and are not applied again.
    pub(super) done: usize,
    /// Whether the source has files after those of this part.
    pub(super) has_later_files: bool,
    /// Whether one of these files has a version of more than four bytes.
    pub(super) has_wide_version_later: bool,
    /// The revision of a command; `None` for its latest.
    pub(super) revision: Option<String>,
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
            part: SourcePart::default(),
            not_applied: Vec::new(),
            role: SourceRole::Migrations,
        }
    }

    /// Whether the source has migrations that do not belong to these inputs.
    pub(super) fn is_part(&self) -> bool {
        self.part.has_later_files
    }

    pub(super) fn is_bootstrap(&self) -> bool {
        self.role == SourceRole::Bootstrap
    }

    /// Whether one of the files is a down migration, or contains one.
    pub(super) fn has_down(&self) -> bool {
        let marked = self.source.tool().and_then(|tool| tool.marked);
        let has_down = |file: &InputFile| match marked {
            Some(marked) => file
                .text(ErrorKind::MigrationSource)
                .is_ok_and(|text| marked.has_down(&text)),
            None => file.is_down(),
        };
        self.files.iter().any(has_down)
    }

    /// The SQL of the migrations; empty for a command or a function, whose SQL is not known.
    pub(super) fn scripts(&self) -> Result<Vec<Script>> {
        let is_sql = |file: &&InputFile| file.path.extension().is_none_or(|ending| ending == "sql");
        let is_known = !matches!(self.source, MigrationSource::Command(_));
        self.files
            .iter()
            .filter(|file| is_known && is_sql(file))
            .map(|file| self.script(file))
            .collect()
    }

    /// The way up of a file that contains both ways. `None` for any other file, and for one that
    /// breaks a rule of its tool: the build reports it.
    fn way_up_of(&self, file: &InputFile) -> Option<InputFile> {
        self.source.tool().and_then(|tool| tool.marked)?;
        let script = self.script(file).ok()?;
        Some(InputFile::embedded(
            file.noun,
            &file.display_path,
            script.text(),
        ))
    }

    /// What ebbtide executes of a migration's file: all of it, or its way up.
    ///
    /// # Errors
    /// The file breaks a rule of its tool, or begins with a byte order mark. Of the tools, only
    /// those for plain SQL, such as psql, remove the mark. The others send it, and the server
    /// refuses it.
    fn script(&self, file: &InputFile) -> Result<Script> {
        let kind = ErrorKind::MigrationSource;
        let text = file.text(kind)?;
        if let Some(tool) = self.source.tool()
            && !tool.removes_byte_order_mark
            && let Some(mark) = Invisible::byte_order_mark(&text)
        {
            let rule = format!(
                "a migration of {} must begin without a byte order mark",
                tool.layout
            );
            return Err(mark.refusal(kind, &rule, &file.display_path, &text));
        }
        match self.source.tool().and_then(|tool| tool.marked) {
            Some(marked) => marked.script(file, &text),
            None => Ok(Script::new(&file.display_path, text)),
        }
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
            file.ending() == "sql" || (file.embedded.is_some() && !file.is_data())
        };
        let of_sources = self
            .sources()
            .flat_map(|source| source.files.iter().map(move |file| (Some(source), file)));
        let of_seeds = self.seeds.iter().map(|file| (None, file));
        let may_be = |file: &InputFile| {
            is_sql(&file)
                && file
                    .open()
                    .is_ok_and(|text| server_wide::may_be_server_wide(text).unwrap_or_default())
        };
        of_sources
            .chain(of_seeds)
            .filter(|(_, file)| may_be(file))
            .find_map(
                |(source, file)| match source.and_then(|it| it.way_up_of(file)) {
                    Some(way_up) => ServerWide::find(&way_up),
                    None => ServerWide::find(file),
                },
            )
    }
}
