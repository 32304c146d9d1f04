//! The files of a directory of seeds. A file with data that ebbtide cannot load is an error, so
//! that no seed is left out silently.

use std::path::{Path, PathBuf};

use super::dir_entries::entries_of;
use super::input_file::{DATA_ENDINGS, InputFile};
use super::observed;
use crate::error::{Error, ErrorKind, Result};

/// Endings of data in another format, each with the remedy.
const OTHER_DATA: [(&[&str], &str); 6] = [
    (
        &["gz", "bz2", "xz", "zst", "lz4", "zip", "7z", "tar", "tgz"],
        "unpack it: ebbtide reads no compressed files",
    ),
    (
        &["yaml", "yml", "toml", "json5", "jsonc", "ron", "xml"],
        "convert it to JSON: an array of objects",
    ),
    (
        &["xls", "xlsx", "ods", "numbers"],
        "export it from the spreadsheet program as CSV",
    ),
    (
        &["psv", "tab", "dat"],
        "convert it to CSV, or rename it to .tsv if tabs separate its values",
    ),
    (
        &["dump", "backup", "pgdump"],
        "convert it with `pg_restore --file=NAME.sql` to SQL",
    ),
    (&["psql", "pgsql", "ddl", "dml"], "rename it to .sql"),
];

/// The seeds of a directory, sorted by name.
///
/// Hidden files are left out, and files that are no data: `README.md`, a script.
///
/// # Errors
/// A file has data in another format, or a subdirectory has data. Or a file cannot be read.
pub(super) fn list(dir: &Path, package_root: &Path) -> Result<Vec<InputFile>> {
    let mut seeds = Vec::new();
    for path in entries_of(dir, ErrorKind::Seed)? {
        match Content::of(&path) {
            Content::Seed => {
                let seed = InputFile::read(path, dir, package_root, ErrorKind::Seed, "seed")?;
                seeds.push(seed);
            }
            Content::OtherData(remedy) => return Err(refused(dir, &path, remedy)),
            Content::Nothing if observed::is_dir(&path) => {
                if let Some(inner) = data_below(&path)? {
                    let remedy = "move the file up, or name the directory to load in `seeds`";
                    return Err(refused(dir, &inner, remedy));
                }
            }
            Content::Nothing => {}
        }
    }
    Ok(seeds)
}

/// What a path is for the seeds.
enum Content {
    Seed,
    /// Data in another format, with the remedy.
    OtherData(&'static str),
    /// A directory, or a file without data.
    Nothing,
}

impl Content {
    fn of(path: &Path) -> Self {
        let ending = path.extension().unwrap_or_default();
        let ending = ending.to_string_lossy().to_ascii_lowercase();
        if observed::is_dir(path) {
            return Self::Nothing;
        }
        if ending == "sql" || DATA_ENDINGS.contains(&&*ending) {
            return Self::Seed;
        }
        OTHER_DATA
            .iter()
            .find(|(endings, _)| endings.contains(&&*ending))
            .map_or(Self::Nothing, |(_, remedy)| Self::OtherData(remedy))
    }
}

/// The first file with data below a directory.
fn data_below(dir: &Path) -> Result<Option<PathBuf>> {
    for path in entries_of(dir, ErrorKind::Seed)? {
        if observed::is_dir(&path) {
            if let Some(found) = data_below(&path)? {
                return Ok(Some(found));
            }
        } else if !matches!(Content::of(&path), Content::Nothing) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn refused(dir: &Path, path: &Path, remedy: &str) -> Error {
    let name = path.strip_prefix(dir).unwrap_or(path).display();
    let message = format!(
        "a directory of seeds must have its data in .sql, .csv, .tsv, .json or .jsonl files, but \
         {} has {name}",
        dir.display()
    );
    Error::new(ErrorKind::Seed, message).with_help(remedy)
}
