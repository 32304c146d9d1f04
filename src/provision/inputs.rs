//! The files that a database is made of, and the fingerprint over them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::FORMAT;
use super::script::Script;
use crate::config::{Migrations, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Fingerprint;

/// A file with the hash of its content. Seeds may be large: their text is read when it is needed.
#[derive(Debug, Clone)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    /// The path as it is shown: relative to the package.
    pub(crate) shown: String,
    hash: [u8; 32],
}

impl InputFile {
    pub(super) fn text(&self, kind: ErrorKind) -> Result<String> {
        let unreadable = |what: &str| Error::new(kind, format!("{} {what}", self.shown));
        let bytes = std::fs::read(&self.path).map_err(|error| unreadable("cannot be read").with_source(error))?;
        String::from_utf8(bytes).map_err(|error| {
            let position = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..position].split(|byte| *byte == b'\n').count();
            unreadable("is not UTF-8")
                .with_source(format!("byte {position}, line {line}"))
                .with_help("save the file with UTF-8 encoding")
        })
    }
}

/// All inputs of one plan, in the order in which they are used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    pub(crate) migrations_folder: Option<PathBuf>,
    pub(crate) migrations: Vec<InputFile>,
    pub(crate) seeds: Vec<InputFile>,
}

impl Inputs {
    /// Lists and hashes the files.
    pub(crate) fn read(plan: &Plan) -> Result<Self> {
        let migrations_folder = match plan.migrations.get() {
            Migrations::Directory(folder) => Some(folder.clone()),
            Migrations::None => None,
            Migrations::Command { .. } => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "migrations by a command are not part of this version of ebbtide",
                )
                .with_help("name a folder of sqlx migrations"));
            }
        };
        let migrations = match &migrations_folder {
            Some(folder) => list(folder, &plan.package_root, &["sql"], ErrorKind::MigrationSource)?,
            None => Vec::new(),
        };
        // Before anything is looked up: such a plan has the fingerprint of one without migrations.
        if let (Some(folder), []) = (&migrations_folder, &*migrations) {
            return Err(no_migration(folder));
        }
        let seeds = match plan.seeds.get() {
            Some(folder) => list(folder, &plan.package_root, &["sql", "csv", "json"], ErrorKind::Seed)?,
            None => Vec::new(),
        };
        Ok(Self { migrations_folder, migrations, seeds })
    }

    pub(super) fn migration_scripts(&self) -> Result<Vec<Script>> {
        self.migrations
            .iter()
            .map(|file| Ok(Script::new(&file.shown, &file.text(ErrorKind::MigrationSource)?)))
            .collect()
    }

    /// Two equal fingerprints mean two equal databases. On a server with several roles, each has its own: a database
    /// belongs to the role that made it.
    pub(crate) fn fingerprint(&self, plan: &Plan, server_version_num: u32, role: Option<&str>) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut part = |text: &[u8]| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        part(format!("ebbtide {} format {FORMAT}", env!("CARGO_PKG_VERSION")).as_bytes());
        part(server_version_num.to_string().as_bytes());
        part(format!("{:?} {:?} {:?}", plan.extensions.get(), plan.settings.get(), plan.expect.get()).as_bytes());
        if let Some(role) = role {
            part(format!("role {role}").as_bytes());
        }
        for (kind, files) in [("migration", &self.migrations), ("seed", &self.seeds)] {
            for file in files {
                part(kind.as_bytes());
                part(file.path.file_name().unwrap_or_default().as_encoded_bytes());
                part(&file.hash);
            }
        }
        Fingerprint::from_hash(&hash.finalize())
    }
}

pub(super) fn no_migration(folder: &Path) -> Error {
    Error::new(ErrorKind::MigrationSource, format!("{} holds no migration", folder.display()))
        .with_help("sqlx migrations are named VERSION_description.sql, or .up.sql and .down.sql in pairs")
}

fn list(folder: &Path, package_root: &Path, endings: &[&str], kind: ErrorKind) -> Result<Vec<InputFile>> {
    let unreadable = |path: &Path, error: std::io::Error| {
        Error::new(kind, format!("{} cannot be read", path.display()))
            .with_source(error)
            .with_help("make it readable for the user who runs the tests")
    };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        let wanted = path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted));
        if wanted && path.is_file() {
            let hash = hash_of(&path).map_err(|error| unreadable(&path, error))?;
            let shown = path.strip_prefix(package_root).unwrap_or(&path).display().to_string();
            found.insert(path.file_name().unwrap_or_default().to_owned(), InputFile { path, shown, hash });
        }
    }
    Ok(found.into_values().collect())
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
