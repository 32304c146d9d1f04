//! Reads the inputs of a plan: lists the files and hashes them.

use std::collections::BTreeMap;
use std::path::Path;

use super::input_file::{InputFile, unreadable};
use super::inputs::{Inputs, MigrationSource};
use super::layout;
use super::migrate::tools;
use crate::config::{Migrations, Plan, SchemaSource};
use crate::error::{ErrorKind, Result};

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
        // A plan whose source has no files gets the fingerprint of a plan without migrations. So an
        // empty directory must be an error here, before the search for a template by fingerprint.
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
