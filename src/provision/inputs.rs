//! The files from which a database is built, and the fingerprint over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sqlx::migrate::{Migration, Migrator};

use super::format::FORMAT;
use super::input_file::{InputFile, unreadable};
use super::migrate::tool::DirectoryTool;
use super::migrate::tools;
use super::server_wide::ServerWide;
use super::sql_script::Script;
use super::{layout, server_wide};
use crate::config::{Layout, MigrationCommand, MigrationFunction, Migrations, Plan, SchemaSource};
use crate::error::{ErrorKind, Result};
use crate::guard;
use crate::names::{Fingerprint, PartsHash};

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

impl MigrationSource {
    /// The tool as which ebbtide applies the migrations; none if it does not apply them itself.
    pub(super) fn tool(&self) -> Option<&'static DirectoryTool> {
        match self {
            Self::Files(layout, _) => Some(tools::of(*layout)),
            Self::Embedded(_) => Some(tools::of(Layout::Sqlx)),
            Self::None | Self::Command(_) | Self::Function(_) => None,
        }
    }
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
    /// Lists the files of a plan and hashes them.
    pub(crate) fn read(plan: &Plan) -> Result<Self> {
        let migrations = plan.migrations.as_ref();
        let source = match migrations.map(|Migrations(source)| source) {
            Some(SchemaSource::Directory(dir)) => {
                MigrationSource::Files(layout::recognise(dir)?, dir.clone())
            }
            Some(SchemaSource::Files(layout, dir)) => MigrationSource::Files(*layout, dir.clone()),
            None => MigrationSource::None,
            Some(SchemaSource::Command(command)) => MigrationSource::Command(command.clone()),
            Some(SchemaSource::Function(function)) => MigrationSource::Function(function.clone()),
        };
        // A plan whose source has no files gets the fingerprint of a plan without migrations, so an
        // empty directory must be an error here, before any template is looked up by fingerprint.
        let migrations = match &source {
            MigrationSource::Files(layout, dir) => {
                layout::list(tools::of(*layout), dir, &plan.package_root)?
            }
            MigrationSource::Command(command) => {
                layout::command_inputs(&command.inputs, &plan.package_root)?
            }
            MigrationSource::None | MigrationSource::Embedded(_) | MigrationSource::Function(_) => {
                Vec::new()
            }
        };
        let seeds = match plan.seeds.get() {
            Some(dir) => list_dir(
                dir,
                &plan.package_root,
                &["sql", "csv", "json"],
                ErrorKind::Seed,
                "seed",
            )?,
            None => Vec::new(),
        };
        Ok(Self {
            source,
            migrations,
            seeds,
        })
    }

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

    /// Fixtures of tests. They are applied to a copy of a template that has its migrations and
    /// seeds.
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

    /// The fingerprint of a template that is built from another template by fixtures and
    /// expectations.
    pub(crate) fn layered_fingerprint(&self, plan: &Plan, base: &Fingerprint) -> Fingerprint {
        let mut hash = PartsHash::default();
        hash.part("base", base.as_str());
        plan.expect.hash_into(&mut hash);
        hash.list("fixtures", self.seeds.iter().map(|fixture| fixture.hash));
        Fingerprint::from_hash(&hash.finish())
    }

    /// The fingerprint of the database that these inputs make. Equal fingerprints mean equal
    /// databases.
    ///
    /// `role` is given on a server with several roles: a database belongs to the role that created
    /// it, so each role has its own template.
    pub(crate) fn fingerprint(
        &self,
        plan: &Plan,
        server_version_num: u32,
        role: Option<&str>,
    ) -> Fingerprint {
        let mut hash = PartsHash::default();
        hash.part("ebbtide", env!("CARGO_PKG_VERSION"));
        hash.part("format", FORMAT.to_string());
        hash.part("guard", guard::SOURCES_HASH.to_le_bytes());
        hash.part("server", server_version_num.to_string());
        hash.list("extensions", plan.extensions.get());
        hash.list("settings", plan.settings.keys());
        hash.list("values", plan.settings.values());
        plan.expect.hash_into(&mut hash);
        hash.list("role", role.as_slice());
        match &self.source {
            // The names and contents of the files are hashed below.
            MigrationSource::None | MigrationSource::Embedded(_) | MigrationSource::Files(..) => {
                if let Some(text) = self.source.tool().and_then(|tool| tool.fingerprint_part) {
                    hash.part("tool", text);
                }
            }
            MigrationSource::Command(command) => {
                hash.list("command", &command.command);
                hash.part("url variable", &command.url_variable);
            }
            MigrationSource::Function(function) => hash.part("function", function.name()),
        }
        for (kind, files) in [("migration", &self.migrations), ("seed", &self.seeds)] {
            hash.part("files", files.len().to_string());
            for file in files {
                hash.part(kind, &file.id);
                hash.part("hash", file.hash);
            }
        }
        Fingerprint::from_hash(&hash.finish())
    }
}

/// The files of a directory with one of these extensions, sorted by name.
fn list_dir(
    dir: &Path,
    package_root: &Path,
    endings: &[&str],
    kind: ErrorKind,
    noun: &'static str,
) -> Result<Vec<InputFile>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(|error| unreadable(kind, dir, error))? {
        let path = entry.map_err(|error| unreadable(kind, dir, error))?.path();
        let wanted = path
            .extension()
            .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted));
        if wanted && path.is_file() {
            let name = path.file_name().unwrap_or_default().to_owned();
            found.insert(name, InputFile::read(path, dir, package_root, kind, noun)?);
        }
    }
    Ok(found.into_values().collect())
}
