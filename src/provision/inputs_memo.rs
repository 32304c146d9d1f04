//! What an earlier process has found in the files of a plan, for as long as none of them changes.
//!
//! Each test of `cargo nextest run` is a process. Reading and hashing 1,000 migrations takes longer
//! than the rest of such a process. So the first process leaves a memo in the state directory. A
//! later process examines each path of the memo, reads no file, and so gets the same hash.
//!
//! ```text
//!  recall --- no memo, or of another plan, executable or user ------> read the files
//!    |------- a path is not as it was: another `Stamp` ------------->      |
//!    v                                                                     v
//!  the memo's hash                                          record, unless a path changed
//!                                                           shortly before the reading
//! ```
//!
//! The rule for a path is that of git's index (<https://git-scm.com/docs/racy-git>): two changes
//! within one tick of the file system's clock can leave one `Stamp`. So a file that changed shortly
//! before it was read is not recorded. A later process reads it again.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::fingerprint::ContentsHash;
use super::observed::{Examined, Observed, Stamp, is_absence};
use super::server_wide::ServerWide;
use crate::config::{Layout, Plan, SchemaSource, SqlxToml};
use crate::names::{PartsHash, short_id};

/// Part of every memo. Raise it when the memo's form changes.
const FORMAT: &str = "inputs memo 1";
/// If the last change of a path is older than this many seconds, every later change gives the path
/// another stamp. FAT counts in steps of two seconds; other file systems in steps of some
/// milliseconds.
const SETTLED_AFTER: i64 = 3;

/// What reading the files of a plan results in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) contents: ContentsHash,
    pub(super) server_wide: Option<ServerWide>,
}

/// The memo of one plan and executable.
#[derive(Debug, Clone)]
pub(super) struct InputsMemo {
    path: PathBuf,
    key: [u8; 32],
}

impl InputsMemo {
    /// The memo of a plan. `None` if it cannot be known whether a memo belongs to this process.
    pub(super) fn of(plan: &Plan, dir: &Path) -> Option<Self> {
        // Another build of ebbtide may find something else in the same files, and an executable
        // contains one build.
        let executable = std::env::current_exe().ok()?;
        let built = Stamp::of(&std::fs::metadata(&executable).ok()?);
        let mut key = hash_of(plan, &executable)?;
        let name = key.clone().digits(16);
        key.part("built", built.bytes());
        Some(Self {
            path: dir.join(format!("inputs-{name}")),
            key: key.finish(),
        })
    }

    /// What an earlier process has found, if every path is as it was then.
    pub(super) fn recall(&self) -> Option<Findings> {
        let bytes = std::fs::read(&self.path).ok()?;
        // In a directory that several users can write to, only an own file counts.
        let owner = std::fs::symlink_metadata(&self.path).ok()?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return None;
        }
        let mut rest = Rest(&bytes);
        if rest.take(32)? != self.key {
            return None;
        }
        let findings = rest.findings()?;
        for _ in 0..rest.number()? {
            let path = Path::new(rest.text()?);
            let is_as_before = if rest.take(1)? == [0] {
                std::fs::metadata(path).is_err_and(|error| is_absence(&error))
            } else {
                let stamp = rest.take(Stamp::LENGTH)?;
                std::fs::metadata(path).is_ok_and(|found| Stamp::of(&found).bytes() == stamp)
            };
            if !is_as_before {
                tracing::debug!(path = %path.display(), "an input has changed");
                return None;
            }
        }
        Some(findings)
    }

    /// Leaves the findings to later processes. `began` is the time before the first path was
    /// examined.
    pub(super) fn record(&self, findings: &Findings, observed: Observed, began: SystemTime) {
        let Some(paths) = observed.into_paths() else {
            return;
        };
        if !are_settled(&paths, began) {
            tracing::debug!("an input has just changed: the next process reads all of them again");
            return;
        }
        // Renamed into its place, so that no process reads a part of it.
        let draft = self.path.with_extension(short_id());
        let text = self.text(findings, &paths);
        let written =
            std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &self.path));
        if let Err(error) = written {
            // Without a memo, every process reads the files.
            tracing::debug!(%error, "what the inputs are could not be recorded");
            let _ = std::fs::remove_file(&draft);
        }
    }

    fn text(&self, findings: &Findings, paths: &BTreeMap<OsString, Option<Examined>>) -> Vec<u8> {
        let mut text = Vec::new();
        text.extend(self.key);
        text.extend(findings.contents.0);
        text.push(findings.server_wide.is_some().into());
        if let Some(found) = &findings.server_wide {
            add_text(&mut text, found.place.as_bytes());
            add_text(&mut text, found.statement.as_bytes());
        }
        text.extend((paths.len() as u64).to_le_bytes());
        for (path, examined) in paths {
            add_text(&mut text, path.as_bytes());
            text.push(examined.is_some().into());
            if let Some(examined) = examined {
                text.extend(examined.stamp.bytes());
            }
        }
        text
    }
}

/// A hash of what decides which files are read, and where an error or a report shows them.
///
/// `None` if a part of it cannot be read: then reading the inputs reports the error.
fn hash_of(plan: &Plan, executable: &Path) -> Option<PartsHash> {
    let mut hash = PartsHash::default();
    hash.part("format", FORMAT);
    hash.part("version", env!("CARGO_PKG_VERSION"));
    hash.part("executable", executable.as_os_str().as_bytes());
    hash.part("package", plan.package_root.as_os_str().as_bytes());
    for source in plan.migrations.iter().flat_map(|sources| &sources.0) {
        let (kind, dir) = match source {
            SchemaSource::Directory(dir) => ("directory".to_owned(), dir),
            SchemaSource::Files(layout, dir) => (layout.to_string(), dir),
            SchemaSource::Command(command) => {
                hash.list("command", &command.command);
                let inputs = command
                    .inputs
                    .iter()
                    .map(|input| input.as_os_str().as_bytes());
                hash.list("inputs", inputs);
                hash.part("url variable", &command.url_variable);
                hash.list("latest", command.latest.as_slice());
                continue;
            }
            SchemaSource::Function(function) => {
                hash.part("function", function.name());
                continue;
            }
        };
        hash.part(&kind, dir.as_os_str().as_bytes());
        // sqlx's own configuration is not among the paths of a memo, but it may apply.
        if matches!(
            source,
            SchemaSource::Directory(_) | SchemaSource::Files(Layout::Sqlx, _)
        ) {
            let sqlx = SqlxToml::of_migrations(dir, &plan.package_root).ok()?;
            hash.part("sqlx", format!("{sqlx:?}"));
        }
    }
    for (name, dir) in [
        ("bootstrap", plan.bootstrap.get()),
        ("seeds", plan.seeds.get()),
    ] {
        let dir = dir.as_ref().map(|dir| dir.as_os_str().as_bytes());
        hash.list(name, dir.as_slice());
    }
    Some(hash)
}

/// Whether each path changed so long before `began` that a later change gives it another [`Stamp`].
fn are_settled(paths: &BTreeMap<OsString, Option<Examined>>, began: SystemTime) -> bool {
    let Some(began) = began
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
    else {
        return false;
    };
    let mut existing = paths.values().flatten();
    existing.all(|examined| examined.changed < began - SETTLED_AFTER)
}

fn add_text(memo: &mut Vec<u8>, text: &[u8]) {
    memo.extend((text.len() as u64).to_le_bytes());
    memo.extend(text);
}

/// The part of a memo that is not read yet. Each function returns `None` if the memo ends before.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a OsStr> {
        let length = usize::try_from(self.number()?).ok()?;
        Some(OsStr::from_bytes(self.take(length)?))
    }

    fn findings(&mut self) -> Option<Findings> {
        let contents = ContentsHash(self.take(32)?.try_into().ok()?);
        let server_wide = match self.take(1)? {
            [0] => None,
            _ => Some(ServerWide {
                place: self.text()?.to_str()?.to_owned(),
                statement: self.text()?.to_str()?.to_owned(),
            }),
        };
        Some(Findings {
            contents,
            server_wide,
        })
    }
}
