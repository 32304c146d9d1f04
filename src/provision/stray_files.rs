//! Entries of a migrations directory that look like migrations and are not applied: editors' copies,
//! other endings, subdirectories that the tool does not read.

use std::path::Path;

use super::dir_entries::{files_below, name_of};
use super::input_file::{InputFile, unreadable};
use super::migrate::tool::DirectoryTool;
use super::observed;
use crate::error::{ErrorKind, Result};

/// How many entries the line names.
const MAX_SHOWN: usize = 10;

/// Endings of files that belong to a directory of migrations without being one.
const COMPANIONS: [&str; 8] = ["md", "txt", "json", "toml", "yml", "yaml", "lock", "sum"];

/// The names of the entries of `dir` that look like migrations and are not among the `used` files.
pub(super) fn find(dir: &Path, used: &[InputFile]) -> Result<Vec<String>> {
    let failed = |error| unreadable(ErrorKind::MigrationSource, dir, error);
    let mut used: Vec<&str> = used
        .iter()
        .map(|file| file.id.split('/').next().unwrap_or(&file.id))
        .collect();
    used.sort_unstable();
    let mut strays = Vec::new();
    for entry in observed::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = name_of(&path);
        if used.binary_search(&name).is_ok() {
            continue;
        }
        if !observed::is_dir(&path) {
            strays.extend(is_like_migration(name).then(|| name.to_owned()));
        } else if !name.starts_with('.') {
            let mut files = Vec::new();
            files_below(&path, &|file| is_like_migration(name_of(file)), &mut files)?;
            strays.extend((!files.is_empty()).then(|| format!("{name}/")));
        }
    }
    strays.sort();
    Ok(strays)
}

/// The line that reports them. `None` if there are none.
pub(super) fn note(tool: &DirectoryTool, dir: &Path, strays: &[String]) -> Option<String> {
    if strays.is_empty() {
        return None;
    }
    let shown = strays[..strays.len().min(MAX_SHOWN)].join(", ");
    let more = match strays.len().saturating_sub(MAX_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (dir, naming) = (dir.display(), tool.naming);
    Some(format!(
        "{dir} has entries that are not applied: {shown}{more} ({naming})"
    ))
}

/// Whether a name has `.sql` in any case, or begins with a number like a version.
fn is_like_migration(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let ending = lower.rsplit('.').next().unwrap_or_default();
    let starts_with_version = lower
        .trim_start_matches(['v', 'u', '.'])
        .starts_with(|c: char| c.is_ascii_digit());
    lower.contains(".sql") || (starts_with_version && !COMPANIONS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_like_migrations_are_those_with_the_ending_or_a_version() {
        for name in [
            "a.SQL",
            "1_a.sql.bak",
            ".1_a.sql.swp",
            "#a.sql#",
            "a.sql~",
            "1_a.up.fizz",
            "V2.js",
        ] {
            assert!(is_like_migration(name), "{name}");
        }
        for name in [
            "README.md",
            ".gitkeep",
            "mod.rs",
            "0000_snapshot.json",
            "atlas.sum",
            "views.rs",
        ] {
            assert!(!is_like_migration(name), "{name}");
        }
    }
}
