//! The files that a database is made of, and the fingerprint over them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use sqlx::migrate::{Migration, Migrator};

use super::script::Script;
use super::server_wide::ServerWide;
use super::{FORMAT, layout, server_wide};
use crate::config::{Layout, MigrationCommand, MigrationFunction, Migrations, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Fingerprint;

/// A file with the hash of its content. Seeds may be large: their text is read when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    /// The path as it is shown: relative to the package.
    pub(crate) shown: String,
    /// What it is called in reports.
    pub(super) noun: &'static str,
    /// The path below the directory that was named, which is the same on every machine.
    id: String,
    hash: [u8; 32],
    /// The content, where the test's binary holds it.
    embedded: Option<String>,
}

impl InputFile {
    /// A file that the compiler has read.
    pub(crate) fn embedded(noun: &'static str, path: &str, text: &str) -> Self {
        Self {
            path: PathBuf::from(path),
            shown: path.to_owned(),
            noun,
            id: Path::new(path)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            hash: Sha256::digest(text).into(),
            embedded: Some(text.to_owned()),
        }
    }

    /// A file of this machine, which is called by its path below `directory`.
    pub(super) fn read(
        path: PathBuf,
        dir: &Path,
        package_root: &Path,
        kind: ErrorKind,
        noun: &'static str,
    ) -> Result<Self> {
        let hash = hash_of(&path).map_err(|error| unreadable(kind, &path, error))?;
        let shown = path
            .strip_prefix(package_root)
            .unwrap_or(&path)
            .display()
            .to_string();
        let id = path
            .strip_prefix(dir)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            path,
            shown,
            noun,
            id,
            hash,
            embedded: None,
        })
    }

    /// The content to be read little by little.
    pub(super) fn open(&self) -> std::io::Result<Box<dyn std::io::Read + Send>> {
        Ok(match &self.embedded {
            Some(text) => Box::new(std::io::Cursor::new(text.clone().into_bytes())),
            None => Box::new(std::fs::File::open(&self.path)?),
        })
    }

    pub(super) fn text(&self, kind: ErrorKind) -> Result<String> {
        if let Some(text) = &self.embedded {
            return Ok(text.clone());
        }
        let unreadable = |what: &str| Error::new(kind, format!("{} {what}", self.shown));
        let bytes = std::fs::read(&self.path)
            .map_err(|error| unreadable("cannot be read").with_source(error))?;
        String::from_utf8(bytes).map_err(|error| {
            let position = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..position]
                .split(|byte| *byte == b'\n')
                .count();
            unreadable("is not UTF-8")
                .with_source(format!("byte {position}, line {line}"))
                .with_help("save the file with UTF-8 encoding")
        })
    }
}

/// Where the migrations come from.
#[derive(Debug, Clone, Default)]
pub(crate) enum MigrationSource {
    #[default]
    None,
    Files(Layout, PathBuf),
    /// The test's binary holds them.
    Embedded(&'static Migrator),
    Command(MigrationCommand),
    Function(MigrationFunction),
}

/// All inputs of one plan, in the order in which they are used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    pub(super) source: MigrationSource,
    /// The migrations' own files, or what a command's outcome depends on.
    pub(crate) migrations: Vec<InputFile>,
    pub(crate) seeds: Vec<InputFile>,
}

impl Inputs {
    /// Lists and hashes the files.
    pub(crate) fn read(plan: &Plan) -> Result<Self> {
        let source = match plan.migrations.get() {
            Migrations::Directory(dir) => {
                MigrationSource::Files(layout::recognise(dir)?, dir.clone())
            }
            Migrations::Files(layout, dir) => MigrationSource::Files(*layout, dir.clone()),
            Migrations::None => MigrationSource::None,
            Migrations::Command(command) => MigrationSource::Command(command.clone()),
            Migrations::Function(function) => MigrationSource::Function(function.clone()),
        };
        // Before anything is looked up: without a migration, a plan has the fingerprint of one that wants none.
        let migrations = match &source {
            MigrationSource::Files(layout, dir) => layout::list(*layout, dir, &plan.package_root)?,
            MigrationSource::Command(command) => {
                layout::inputs(&command.inputs, &plan.package_root)?
            }
            MigrationSource::None | MigrationSource::Embedded(_) | MigrationSource::Function(_) => {
                Vec::new()
            }
        };
        let seeds = match plan.seeds.get() {
            Some(dir) => list(
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

    /// Migrations that the test's binary holds, and nothing else.
    pub(crate) fn of_migrator(migrator: &'static Migrator) -> Self {
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

    /// Fixtures of tests, which are applied to a database that has its migrations and seeds.
    pub(crate) fn of_fixtures(fixtures: Vec<InputFile>) -> Self {
        Self {
            source: MigrationSource::None,
            migrations: Vec::new(),
            seeds: fixtures,
        }
    }

    /// The SQL of the migrations, as far as it is known.
    pub(super) fn migration_scripts(&self) -> Result<Vec<Script>> {
        let is_sql = |file: &&InputFile| file.path.extension().is_none_or(|ending| ending == "sql");
        let known = !matches!(self.source, MigrationSource::Command(_));
        self.migrations
            .iter()
            .filter(|file| known && is_sql(file))
            .map(|file| {
                Ok(Script::new(
                    &file.shown,
                    &file.text(ErrorKind::MigrationSource)?,
                ))
            })
            .collect()
    }

    /// The first statement that touches the whole server, as far as the SQL is known: also in `.sql` files among a command's
    /// inputs. What cannot be read is left for the build to report.
    pub(crate) fn server_wide(&self) -> Option<ServerWide> {
        let is_sql = |file: &&InputFile| {
            let ending = file.path.extension();
            file.embedded.is_some() || ending.is_some_and(|ending| ending == "sql")
        };
        let files = self.migrations.iter().chain(&self.seeds).filter(is_sql);
        files
            .filter(|file| {
                file.open()
                    .is_ok_and(|text| server_wide::may_touch(text).unwrap_or_default())
            })
            .filter_map(|file| {
                Some(Script::new(
                    &file.shown,
                    file.text(ErrorKind::MigrationSource).ok()?,
                ))
            })
            .find_map(|script| ServerWide::find(&script))
    }

    /// The fingerprint of what is made of another template by fixtures and expectations.
    pub(crate) fn layered_fingerprint(&self, plan: &Plan, base: &Fingerprint) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(format!("{base} {:?}", plan.expect.get()));
        for fixture in &self.seeds {
            hash.update(fixture.hash);
        }
        Fingerprint::from_hash(&hash.finalize())
    }

    /// Two equal fingerprints mean two equal databases. On a server with several roles, each has its own: a database
    /// belongs to the role that made it.
    pub(crate) fn fingerprint(
        &self,
        plan: &Plan,
        server_version_num: u32,
        role: Option<&str>,
    ) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut part = |text: &[u8]| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        part(format!("ebbtide {} format {FORMAT}", env!("CARGO_PKG_VERSION")).as_bytes());
        for sql in super::OWN_OBJECTS {
            part(sql.as_bytes());
        }
        part(server_version_num.to_string().as_bytes());
        part(
            format!(
                "{:?} {:?} {:?}",
                plan.extensions.get(),
                plan.settings.get(),
                plan.expect.get()
            )
            .as_bytes(),
        );
        if let Some(role) = role {
            part(format!("role {role}").as_bytes());
        }
        match &self.source {
            // Their files' names and contents say it all; as they are named, so they are read.
            MigrationSource::None
            | MigrationSource::Embedded(_)
            | MigrationSource::Files(Layout::Sqlx, _) => {}
            MigrationSource::Files(layout, _) => part(format!("layout {layout}").as_bytes()),
            MigrationSource::Command(said) => {
                part(format!("command {:?} {}", said.command, said.url_variable).as_bytes());
            }
            MigrationSource::Function(function) => {
                part(format!("function {}", function.name()).as_bytes())
            }
        }
        for (kind, files) in [("migration", &self.migrations), ("seed", &self.seeds)] {
            for file in files {
                part(kind.as_bytes());
                part(file.id.as_bytes());
                part(&file.hash);
            }
        }
        Fingerprint::from_hash(&hash.finalize())
    }
}

fn list(
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

fn unreadable(kind: ErrorKind, path: &Path, error: std::io::Error) -> Error {
    Error::new(kind, format!("{} cannot be read", path.display()))
        .with_source(error)
        .with_help("make it readable for the user who runs the tests")
}

fn hash_of(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&chunk[..read]);
    }
}
