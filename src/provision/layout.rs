//! Directories of migrations: the tool whose layout a directory has, and its files in order.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::dir_entries::{entries, files_below, name_of};
use super::input_file::InputFile;
use super::migrate::tool::{DirectoryTool, no_migration};
use super::migrate::tools;
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};

/// The layout that the names of the directory's files have.
///
/// # Errors
/// The directory has files of several layouts, or of none.
pub(super) fn recognise(dir: &Path) -> Result<Layout> {
    let mut found: BTreeMap<&str, (Layout, Vec<String>)> = BTreeMap::new();
    for path in entries(dir)? {
        let Some(tool) = tools::directories().find(|tool| (tool.is_migration)(&path)) else {
            continue;
        };
        let name = name_of(&path).to_owned();
        let (_, names) = found
            .entry(tool.label)
            .or_insert_with(|| (tool.layout, Vec::new()));
        names.push(name);
    }
    let mut layouts = found.values();
    match (layouts.next(), layouts.next()) {
        (None, _) => Err(no_migration(&dir.display(), every_naming())),
        (Some((layout, _)), None) => Ok(*layout),
        (Some(_), Some(_)) => {
            let files: Vec<String> = found
                .iter()
                .map(|(label, (_, names))| format!("{label}: {}", first_names(names)))
                .collect();
            let message = format!(
                "a migrations directory must have the layout of one tool, but {} mixes several",
                dir.display()
            );
            Err(Error::new(ErrorKind::MigrationSource, message)
                .with_evidence("files", files.join("\n"))
                .with_help(format!(
                    "move the files of the other tools elsewhere, or choose the layout: \
                     {}",
                    choose_layout_help()
                )))
        }
    }
}

/// The files of the migrations, in the order in which they are applied.
pub(super) fn list(
    tool: &DirectoryTool,
    dir: &Path,
    package_root: &Path,
) -> Result<Vec<InputFile>> {
    let paths = (tool.list)(dir)?;
    if paths.is_empty() {
        return Err(no_migration(&dir.display(), tool.naming));
    }
    let read = |path: PathBuf| {
        InputFile::read(
            path,
            dir,
            package_root,
            ErrorKind::MigrationSource,
            "migration",
        )
    };
    paths.into_iter().map(read).collect()
}

/// The declared inputs of a migration command: files, and all files below directories. This
/// function leaves out Python's cache (`.pyc`), because running the command changes it.
pub(super) fn command_inputs(inputs: &[PathBuf], package_root: &Path) -> Result<Vec<InputFile>> {
    let mut files = Vec::new();
    for input in inputs {
        let mut paths = Vec::new();
        if input.is_dir() {
            files_below(
                input,
                &|path| path.extension() != Some(OsStr::new("pyc")),
                &mut paths,
            )?;
        } else {
            paths.push(input.clone());
        }
        let parent = input.parent().unwrap_or(input);
        for path in paths {
            files.push(InputFile::read(
                path,
                parent,
                package_root,
                ErrorKind::MigrationSource,
                "input",
            )?);
        }
    }
    Ok(files)
}

/// Help for errors: how the migrations of every tool are named.
fn every_naming() -> String {
    let fallback = tools::fallback();
    let mut clauses: Vec<&str> = Layout::all()
        .filter(|layout| *layout != fallback.layout)
        .map(|layout| tools::of(layout).naming_clause)
        .collect();
    let last = clauses.pop().unwrap_or_default();
    format!(
        "{}, and {last}; {}",
        clauses.join(", "),
        fallback.naming_clause
    )
}

/// Help for errors: how to choose a layout by name.
fn choose_layout_help() -> String {
    let words: Vec<String> = Layout::all().map(|layout| layout.to_string()).collect();
    let (first, others) = words.split_first().expect("there is a layout");
    format!(
        "migrations = {{ {first} = \"DIR\" }} (or {}) below [provision] in ebbtide.toml, \
         EBBTIDE_MIGRATIONS={first}:DIR, or `Migrations::{first}(\"DIR\")`",
        others.join(", ")
    )
}

/// The first five names.
fn first_names(names: &[String]) -> String {
    let more = if names.len() > 5 { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(5)].join(", "))
}
