//! The files of a directory, sorted by name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::input_file::unreadable;
use super::observed;
use crate::error::{ErrorKind, Result};

/// Whether a path is a file whose name ends in `.sql`.
pub(super) fn is_sql_file(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("sql")) && observed::is_file(path)
}

pub(super) fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// The files of a directory whose names end in `.sql`, sorted by name.
pub(super) fn sql_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = entries(dir)?;
    paths.retain(|path| is_sql_file(path));
    Ok(paths)
}

/// The entries of a directory of migrations, sorted by name, without hidden ones.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    entries_of(dir, ErrorKind::MigrationSource)
}

/// The entries of a directory, sorted by name, without hidden ones. `kind` is that of the error.
pub(super) fn entries_of(dir: &Path, kind: ErrorKind) -> Result<Vec<PathBuf>> {
    let failed = |error| unreadable(kind, dir, error);
    let mut paths = Vec::new();
    for entry in observed::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !name_of(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Adds the files below a directory that satisfy `wanted`, except Python's cache.
pub(super) fn files_below(
    dir: &Path,
    wanted: &dyn Fn(&Path) -> bool,
    found: &mut Vec<PathBuf>,
) -> Result<()> {
    for path in entries(dir)? {
        if observed::is_dir(&path) && name_of(&path) != "__pycache__" {
            files_below(&path, wanted, found)?;
        } else if observed::is_file(&path) && wanted(&path) {
            found.push(path);
        }
    }
    Ok(())
}
