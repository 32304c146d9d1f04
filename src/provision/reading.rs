//! Reads the inputs of a plan: lists the files and hashes them.

use std::collections::BTreeMap;
use std::path::Path;

use super::dir_entries::sql_files;
use super::input_file::InputFile;
use super::inputs::{Inputs, MigrationInputs, MigrationSource, SourcePart, SourceRole};
use super::layout;
use super::migrate::tools;
use super::seed_files;
use super::stray_files;
use crate::config::{Layout, Plan, SchemaSource, SqlxToml};
use crate::error::{Error, ErrorKind, Result};

impl Inputs {
    /// Lists the files of a plan and hashes them.
    pub(crate) fn read(plan: &Plan) -> Result<Self> {
        let migrations = plan.migrations.iter().flat_map(|sources| &sources.0);
        let migrations = migrations
            .map(|source| MigrationInputs::read(source, plan))
            .collect::<Result<Vec<_>>>()?;
        refuse_shared_ledgers(&migrations)?;
        let bootstrap = plan.bootstrap.get().as_ref();
        let bootstrap = bootstrap
            .map(|dir| bootstrap_inputs(dir, &plan.package_root))
            .transpose()?;
        let seeds = match plan.seeds.get() {
            Some(dir) => seed_files::list(dir, &plan.package_root)?,
            None => Vec::new(),
        };
        Ok(Self {
            bootstrap,
            migrations,
            seeds,
        })
    }
}

/// Rejects two directories whose tool has one ledger for both. The tool would take the rows of the
/// other directory for unknown migrations, or equal versions for applied ones.
fn refuse_shared_ledgers(sources: &[MigrationInputs]) -> Result<()> {
    let mut owners: BTreeMap<(Layout, Option<&str>), &Path> = BTreeMap::new();
    for source in sources {
        let MigrationSource::Files(layout, dir) = &source.source else {
            continue;
        };
        if tools::of(*layout).ledger.is_none() {
            continue;
        }
        let ledger = (*layout, source.sqlx.table_name.as_deref());
        if let Some(other) = owners.insert(ledger, dir) {
            let message = format!(
                "two directories of {layout} migrations must not share a ledger, but {} and {} do",
                other.display(),
                dir.display()
            );
            return Err(
                Error::new(ErrorKind::MigrationSource, message).with_help(match layout {
                    Layout::Sqlx => {
                        "merge the directories, or give one of them another ledger: `table-name` \
                         below [migrate] in the sqlx.toml of its package; if the application gives \
                         both one ledger, call its runner in a `Migrations::function`"
                    }
                    _ => {
                        "merge the directories, or apply one of them with its own tool, in a \
                         `MigrationCommand` or a `Migrations::function`"
                    }
                }),
            );
        }
    }
    Ok(())
}

impl MigrationInputs {
    /// Lists the files of one source and hashes them.
    ///
    /// An empty directory is an error here, before the search for a template by fingerprint: a
    /// source without files would have the fingerprint of a plan without migrations.
    fn read(source: &SchemaSource, plan: &Plan) -> Result<Self> {
        let source = match source {
            SchemaSource::Directory(dir) => {
                MigrationSource::Files(layout::recognise(dir)?, dir.clone())
            }
            SchemaSource::Files(layout, dir) => MigrationSource::Files(*layout, dir.clone()),
            SchemaSource::Command(command) => MigrationSource::Command(command.clone()),
            SchemaSource::Function(function) => MigrationSource::Function(function.clone()),
        };
        let files = match &source {
            MigrationSource::Files(layout, dir) => {
                layout::list(tools::of(*layout), dir, &plan.package_root)?
            }
            MigrationSource::Command(command) => {
                layout::command_inputs(&command.inputs, &plan.package_root)?
            }
            MigrationSource::Embedded(_) | MigrationSource::Function(_) => Vec::new(),
        };
        let sqlx = match &source {
            MigrationSource::Files(Layout::Sqlx, dir) => {
                SqlxToml::of_migrations(dir, &plan.package_root)?
            }
            _ => SqlxToml::default(),
        };
        let not_applied = match &source {
            MigrationSource::Files(_, dir) => stray_files::find(dir, &files)?,
            _ => Vec::new(),
        };
        Ok(Self {
            source,
            sqlx,
            files,
            part: SourcePart::default(),
            not_applied,
            role: SourceRole::Migrations,
        })
    }
}

/// The files of the bootstrap: plain SQL, in the order of the names.
fn bootstrap_inputs(dir: &Path, package_root: &Path) -> Result<MigrationInputs> {
    let kind = ErrorKind::MigrationSource;
    let read = |path| InputFile::read(path, dir, package_root, kind, "bootstrap file");
    let files: Vec<_> = sql_files(dir)?
        .into_iter()
        .map(read)
        .collect::<Result<_>>()?;
    if files.is_empty() {
        let message = format!(
            "the bootstrap directory must contain a file that ends in .sql, but {} has none",
            dir.display()
        );
        return Err(Error::new(kind, message)
            .with_help("add a file, or remove the key provision.bootstrap"));
    }
    Ok(MigrationInputs {
        source: MigrationSource::Files(Layout::Sql, dir.to_owned()),
        sqlx: SqlxToml::default(),
        not_applied: stray_files::find(dir, &files)?,
        files,
        part: SourcePart::default(),
        role: SourceRole::Bootstrap,
    })
}
