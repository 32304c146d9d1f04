//! Finds PostgreSQL's server binaries.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{self, Account};
use crate::scarcity::Scarcity;

/// Directories in which distributions and installers put server binaries; `*` stands for a version.
const USUAL_DIRS: [&str; 8] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/Library/PostgreSQL/*/bin",
    "/usr/local/pgsql/bin",
];

/// A directory with `postgres` and `initdb` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) dir: PathBuf,
    pub(crate) major: u32,
    /// What `postgres --version` prints.
    pub(crate) version: String,
}

impl Binaries {
    /// When the server's program changed last, and the scripts of its extensions: a rebuilt server
    /// may have the same version.
    pub(super) fn changed_at(&self) -> Vec<Option<SystemTime>> {
        // Packages put the scripts beside the programs, or below /usr/share. Where they are
        // elsewhere, a changed script is not noticed.
        let extensions = [
            self.dir.join("../share/extension"),
            self.dir.join("../share/postgresql/extension"),
            format!("/usr/share/postgresql/{}/extension", self.major).into(),
            "/usr/share/pgsql/extension".into(),
        ];
        std::iter::once(self.dir.join("postgres"))
            .chain(extensions)
            .map(|path| std::fs::metadata(path).ok()?.modified().ok())
            .collect()
    }
}

/// Searches `EBBTIDE_PG_BIN` only, if it is set. Otherwise searches the directory that `pg_config`
/// prints, `PATH`, and the usual directories, newest version first.
///
/// # Errors
/// [`ErrorKind::BinariesNotFound`], with every place that was tried and the reason why it was
/// rejected.
pub(crate) fn find(plan: &Plan, account: Option<Account>) -> Result<Binaries> {
    let mut tried = String::new();
    for (origin, dir) in candidates(plan) {
        match inspect(&dir, account) {
            Ok(found) if plan.postgres.is_none_or(|wanted| wanted == found.major) => {
                return Ok(found);
            }
            Ok(found) => note(
                &mut tried,
                &origin,
                &dir,
                &format!("is version {}", found.major),
            ),
            Err(reason) => note(&mut tried, &origin, &dir, &reason),
        }
        if plan.bin.is_some() {
            break;
        }
    }
    if tried.is_empty() {
        tried.push_str("pg_config, PATH and the usual directories: no binaries there");
    }
    // The binaries may be there, and this user cannot start a process.
    if let Some(scarcity) = Scarcity::in_text(&tried) {
        let message = format!(
            "PostgreSQL's binaries could not be run: {}",
            scarcity.description()
        );
        return Err(Error::new(ErrorKind::Io, message)
            .with_evidence("tried", tried)
            .with_help(scarcity.help()));
    }
    let wanted = plan
        .postgres
        .map(|major| format!(" for PostgreSQL {major}"))
        .unwrap_or_default();
    let package = plan.postgres.map_or("postgresql".to_owned(), |major| {
        format!("postgresql-{major}")
    });
    let message = format!("no PostgreSQL server binaries found{wanted}");
    Err(Error::new(ErrorKind::BinariesNotFound, message)
        .with_evidence("tried", tried)
        .with_help(format!(
            "install them (Debian, Ubuntu: `apt-get install {package}`; \
             Fedora: `dnf install postgresql-server postgresql-contrib`; \
             macOS: `brew install postgresql`), \
             or set EBBTIDE_PG_BIN to the directory that holds `postgres` and `initdb`"
        )))
}

fn note(tried: &mut String, origin: &str, dir: &Path, reason: &str) {
    writeln!(tried, "{} ({origin}): {reason}", dir.display())
        .expect("writing to a string does not fail");
}

/// Directories to inspect, in order, each with its origin for the report.
fn candidates(plan: &Plan) -> Vec<(String, PathBuf)> {
    if let Some(dir) = plan.bin.as_ref() {
        return vec![(plan.bin.source.to_string(), dir.clone())];
    }
    let search_path = plan.path.as_os_str();
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    // Distributions package `pg_config` with the client library, so it may print a directory
    // without server binaries. A failure of it is no error, because the other places follow.
    if let Some(pg_config) = on_path(search_path, "pg_config")
        && let Ok(dir) = process::run(
            &pg_config,
            &[OsStr::new("--bindir")],
            None,
            Some(search_path),
        )
    {
        found.push(("pg_config --bindir".into(), PathBuf::from(dir.trim())));
    }
    if let Some(dir) = on_path(search_path, "postgres")
        .as_deref()
        .and_then(Path::parent)
    {
        found.push(("PATH".into(), dir.to_owned()));
    }
    let mut usual: Vec<PathBuf> = USUAL_DIRS.into_iter().flat_map(expand).collect();
    usual.sort_by_key(|dir| std::cmp::Reverse(version_in(dir)));
    found.extend(usual.into_iter().map(|dir| ("usual directory".into(), dir)));
    let mut seen = Vec::new();
    // The three searches often find the same directory, which the error would then list twice.
    found.retain(|(_, dir)| {
        if seen.contains(dir) {
            false
        } else {
            seen.push(dir.clone());
            true
        }
    });
    found
}

fn on_path(search_path: &OsStr, program: &str) -> Option<PathBuf> {
    // An empty or relative entry would depend on the current directory.
    let dirs = std::env::split_paths(search_path).filter(|dir| dir.is_absolute());
    dirs.map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// The existing directories that match a pattern with at most one `*`.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return Path::new(pattern)
            .is_dir()
            .then(|| PathBuf::from(pattern))
            .into_iter()
            .collect();
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(format!("{parent}/")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| PathBuf::from(format!("{}{after}", entry.path().display())))
        .filter(|dir| dir.is_dir())
        .collect()
}

/// The last number in a directory's path, taken as its major version.
fn version_in(dir: &Path) -> u32 {
    let text = dir.to_string_lossy();
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .next_back()
        .unwrap_or(0)
}

/// The binaries of a directory, or the reason why it has none.
fn inspect(dir: &Path, account: Option<Account>) -> std::result::Result<Binaries, String> {
    for program in ["postgres", "initdb"] {
        if !dir.join(program).is_file() {
            return Err(format!("holds no `{program}`"));
        }
    }
    // As the server's user, who must be able to run it.
    let version = process::run(
        &dir.join("postgres"),
        &[OsStr::new("--version")],
        account,
        None,
    )
    .map_err(|error| format!("{error:?}").replace('\n', " "))?;
    let version = version.trim().to_owned();
    // The first number, also in `postgres (PostgreSQL) 18beta1`.
    let major = version
        .split(|c: char| !c.is_ascii_digit())
        .find_map(|digits| digits.parse().ok())
        .ok_or_else(|| format!("reports a version without a number: {version:?}"))?;
    Ok(Binaries {
        dir: dir.to_owned(),
        major,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_sort_first_by_the_last_number_of_the_path() {
        assert!(
            version_in(Path::new("/usr/lib/postgresql/17/bin"))
                > version_in(Path::new("/usr/lib/postgresql/9/bin"))
        );
    }

    #[test]
    fn a_pattern_matches_part_of_one_component() {
        let found = expand("/us*/bin");
        assert!(found.contains(&PathBuf::from("/usr/bin")));
    }
}
