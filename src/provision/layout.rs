//! Directories of migrations: which tool's layout one has, and its files in order.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::inputs::InputFile;
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};

/// How a layout is chosen by name.
const CHOOSE: &str = "migrations = { sqlx = \"DIR\" } (or sql, refinery, diesel) below [provision] in ebbtide.toml, \
     EBBTIDE_MIGRATIONS=sqlx:DIR, or `Migrations::sqlx(\"DIR\")`";

/// The layout of which there are files in the directory.
///
/// # Errors
/// There are files of several layouts, or of none.
pub(super) fn recognise(dir: &Path) -> Result<Layout> {
    let mut found: BTreeMap<&str, (Layout, Vec<String>)> = BTreeMap::new();
    for path in entries(dir)? {
        let Some(layout) = layout_of(&path) else {
            continue;
        };
        let name = name_of(&path).to_owned();
        let (_, names) = found
            .entry(said(layout))
            .or_insert_with(|| (layout, Vec::new()));
        names.push(name);
    }
    let mut layouts = found.values();
    match (layouts.next(), layouts.next()) {
        (None, _) => Err(no_migration(&dir.display(), None)),
        (Some((layout, _)), None) => Ok(*layout),
        (Some(_), Some(_)) => {
            let shown: Vec<String> = found
                .iter()
                .map(|(said, (_, names))| format!("{said}: {}", some(names)))
                .collect();
            let message = format!("{} mixes the layouts of several tools", dir.display());
            Err(Error::new(ErrorKind::MigrationSource, message)
                .with_evidence("files", shown.join("\n"))
                .with_help(format!(
                    "move what does not belong there, or name the layout: {CHOOSE}"
                )))
        }
    }
}

/// The files that make the database, in the order in which they are used.
pub(super) fn list(layout: Layout, dir: &Path, package_root: &Path) -> Result<Vec<InputFile>> {
    let mut paths = Vec::new();
    match layout {
        Layout::Sqlx | Layout::Sql => {
            paths.extend(
                entries(dir)?
                    .into_iter()
                    .filter(|path| is_sql(path) && path.is_file()),
            );
        }
        Layout::Refinery => {
            files_below(dir, &|path| is_refinery(name_of(path)), &mut paths)?;
            // Rust's own cannot be run from here; that is told when they are applied.
            paths.sort_by_cached_key(|path| {
                refinery_version(name_of(path)).map(|(version, _)| version)
            });
        }
        Layout::Diesel => {
            for migration in entries(dir)?
                .into_iter()
                .filter(|path| path.join("up.sql").is_file())
            {
                paths.push(migration.join("up.sql"));
                paths.extend(Some(migration.join("metadata.toml")).filter(|path| path.is_file()));
            }
        }
    }
    if paths.is_empty() {
        return Err(no_migration(&dir.display(), Some(layout)));
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

/// Everything that a command's outcome depends on: files, and directories with everything in them but Python's cache.
pub(super) fn inputs(inputs: &[PathBuf], package_root: &Path) -> Result<Vec<InputFile>> {
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

/// A source without a migration, and how they are named.
pub(super) fn no_migration(source: &dyn std::fmt::Display, layout: Option<Layout>) -> Error {
    let help = match layout {
        Some(Layout::Sqlx) => {
            "sqlx migrations are named VERSION_description.sql, or .up.sql and .down.sql in pairs"
        }
        Some(Layout::Sql) => "every file that ends in .sql is one",
        Some(Layout::Refinery) => "refinery's migrations are named V1__name.sql or U1__name.sql",
        Some(Layout::Diesel) => {
            "diesel's migrations are directories named VERSION_name with a file up.sql"
        }
        None => {
            "sqlx migrations are named VERSION_description.sql, refinery's V1__name.sql, diesel's are directories with up.sql; \
             any other file that ends in .sql is plain SQL"
        }
    };
    Error::new(
        ErrorKind::MigrationSource,
        format!("{source} holds no migration"),
    )
    .with_help(help)
}

/// The number in front, and the rest of the name, of a file of sqlx's.
pub(super) fn sqlx_version(name: &str) -> Option<(i64, &str)> {
    let (version, rest) = name.split_once('_')?;
    Some((version.parse().ok()?, rest))
}

/// The version and the rest of the name of a file of refinery's.
pub(super) fn refinery_version(name: &str) -> Option<(i64, &str)> {
    let (version, rest) = name.strip_prefix(['V', 'U', '|'])?.split_once("__")?;
    Some((version.parse().ok()?, rest))
}

fn is_refinery(name: &str) -> bool {
    let stem = name
        .strip_suffix(".sql")
        .or_else(|| name.strip_suffix(".rs"))
        .unwrap_or_default();
    let word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    refinery_version(stem).is_some_and(|(_, rest)| word(rest))
}

fn layout_of(path: &Path) -> Option<Layout> {
    let name = name_of(path);
    match () {
        () if path.join("up.sql").is_file() => Some(Layout::Diesel),
        () if !path.is_file() => None,
        () if is_refinery(name) => Some(Layout::Refinery),
        () if !is_sql(path) => None,
        () if sqlx_version(name).is_some() => Some(Layout::Sqlx),
        () => Some(Layout::Sql),
    }
}

fn said(layout: Layout) -> &'static str {
    match layout {
        Layout::Sqlx => "named as sqlx's",
        Layout::Sql => "plain SQL",
        Layout::Refinery => "named as refinery's",
        Layout::Diesel => "laid out as diesel's",
    }
}

/// The first few names.
fn some(names: &[String]) -> String {
    let more = if names.len() > 5 { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(5)].join(", "))
}

fn is_sql(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("sql"))
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// What lies in a directory, in the order of the names, without what is hidden.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| {
        Error::new(
            ErrorKind::MigrationSource,
            format!("{} cannot be read", dir.display()),
        )
        .with_source(error)
        .with_help("make it readable for the user who runs the tests")
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !name_of(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn files_below(dir: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(dir)? {
        if path.is_dir() && name_of(&path) != "__pycache__" {
            files_below(&path, wanted, found)?;
        } else if path.is_file() && wanted(&path) {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_tool() {
        assert_eq!(
            sqlx_version("0012_add_users.up.sql"),
            Some((12, "add_users.up.sql"))
        );
        assert_eq!(sqlx_version("readme.sql"), None);
        assert!(is_refinery("V1__users.sql") && is_refinery("U20240101__x.rs"));
        assert!(
            !is_refinery("V1_users.sql") && !is_refinery("V1__.sql") && !is_refinery("V1__a-b.sql")
        );
        assert!(!is_refinery("W1__users.sql") && !is_refinery("V1__users.txt"));
    }
}
