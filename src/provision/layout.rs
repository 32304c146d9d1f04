//! Directories of migrations: the tool whose layout a directory has, and its files in order.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::dir_entries::{entries, files_below, is_sql_file, name_of};
use super::direction::Direction;
use super::foreign_tools::Foreign;
use super::input_file::{InputFile, is_down};
use super::markers::{self, Mark};
use super::migrate::tool::{DirectoryTool, no_migration};
use super::migrate::tools;
use super::observed;
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};

/// The layout of a directory: by the lines that divide its files into two ways, else by the names of
/// the files.
///
/// # Errors
/// The directory has files of several layouts, or of none, or of a tool that ebbtide does not
/// imitate.
pub(super) fn recognise(dir: &Path) -> Result<Layout> {
    let mut found: BTreeMap<&str, (Layout, Vec<String>)> = BTreeMap::new();
    let entries = entries(dir)?;
    if let Some(foreign) = Foreign::by_names(dir, &entries) {
        return Err(foreign.not_imitated(dir));
    }
    for path in entries {
        // A file that its tool does not apply has no way up.
        let is_way_down = tools::directories()
            .any(|tool| (tool.is_migration)(&path) && is_down_file(tool, &path));
        let marks = if is_sql_file(&path) && !is_way_down {
            markers::dividing(&path)?
        } else {
            Vec::new()
        };
        let Some(tool) = tool_of(dir, &path, &marks)? else {
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

/// The tool whose layout an entry of a directory has.
///
/// # Errors
/// The entry belongs to a tool that ebbtide does not imitate.
fn tool_of(dir: &Path, path: &Path, marks: &[Mark]) -> Result<Option<&'static DirectoryTool>> {
    let Some(first) = marks.first() else {
        let by_name = |tool: &&DirectoryTool| tool.marked.is_none() && (tool.is_migration)(path);
        return Ok(tools::directories().find(by_name));
    };
    let is_its_mark = |tool: &&DirectoryTool| {
        tool.marked.is_some_and(|marked| first.is(marked.marker)) && (tool.is_migration)(path)
    };
    if let Some(tool) = tools::directories().find(is_its_mark) {
        return Ok(Some(tool));
    }
    let with_another_name =
        |tool: &&DirectoryTool| tool.marked.is_some_and(|marked| first.is(marked.marker));
    Err(match tools::directories().find(with_another_name) {
        Some(tool) => misnamed(path, first, tool),
        None => Foreign::by_mark(path, first).not_imitated(dir),
    })
}

/// The error for a file with a line of a tool that does not accept the file's name.
fn misnamed(path: &Path, mark: &Mark, tool: &DirectoryTool) -> Error {
    let message = format!(
        "a file with the line `{}` must have a name that {} accepts, but {}:{} has not",
        mark.text,
        mark.marker.tool,
        path.display(),
        mark.line
    );
    Error::new(ErrorKind::MigrationSource, message).with_help(tool.naming)
}

/// Whether the tool takes a file for a way down, which it does not apply.
fn is_down_file(tool: &DirectoryTool, path: &Path) -> bool {
    tool.has_down_files && is_down(path)
}

/// Refuses files whose way down the layout would execute, because they belong to another tool.
fn refuse_ways_down(tool: &DirectoryTool, dir: &Path, paths: &[PathBuf]) -> Result<()> {
    let layout = tool.layout.to_string();
    if let Some(foreign) = Foreign::by_pair(paths, tool.has_down_files) {
        return Err(foreign.way_down(dir, &layout));
    }
    let is_applied = |path: &&PathBuf| is_sql_file(path) && !is_down_file(tool, path);
    for path in paths.iter().filter(is_applied) {
        let is_other = |mark: &&Mark| {
            let own = tool.marked.is_some_and(|marked| mark.is(marked.marker));
            mark.way == Direction::Down && !own && mark.precedes_statement(path)
        };
        if let Some(mark) = markers::scan(path)?.iter().find(is_other) {
            return Err(Foreign::by_mark(path, mark).way_down(dir, &layout));
        }
    }
    Ok(())
}

/// The files of the migrations, in the order in which they are applied.
///
/// # Errors
/// There is none, or the layout would execute the way down of another tool's files.
pub(super) fn list(
    tool: &DirectoryTool,
    dir: &Path,
    package_root: &Path,
) -> Result<Vec<InputFile>> {
    let paths = (tool.list)(dir)?;
    if paths.is_empty() {
        return Err(no_migration(&dir.display(), tool.naming));
    }
    refuse_ways_down(tool, dir, &paths)?;
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
        if observed::is_dir(input) {
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
        "{}, and {last}; {}; for any other tool, use its command (`MigrationCommand`)",
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
