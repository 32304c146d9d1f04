//! A version of a migration, as a test names it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The version of a migration, as its tool records it, or a number that leads to it.
///
/// | layout | version | example |
/// |---|---|---|
/// | sqlx, refinery, goose | the number before the name | `41` |
/// | diesel | with or without dashes | `"2026-01-31-120000"`, `20260131120000` |
/// | dbmate | the digits before the name | `20260131120000`, `"007"` |
/// | sql-migrate, plain SQL | the file's name, with or without `.sql` | `"041_names.sql"` |
/// | a [`MigrationCommand`](super::MigrationCommand) with `{revision}` | whatever its tool accepts | `"ae1027a6acf"` |
///
/// A number also leads to the only version that begins with it: `7` to dbmate's `007`, and `41` to
/// the file `041_names.sql`.
///
/// With several sources, a version that more than one of them can have is refused. A pair names the
/// source: its directory, or the end of the directory's path, or a command's program.
///
/// # Examples
/// ```
/// use ebbtide::config::MigrationVersion;
///
/// let number = MigrationVersion::from(41);
/// let revision = MigrationVersion::from("ae1027a6acf");
/// let of_a_directory = MigrationVersion::from(("platform/migrations", 41));
/// assert_eq!(of_a_directory.to_string(), "41 of platform/migrations");
/// # drop((number, revision));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationVersion {
    source: Option<PathBuf>,
    text: String,
}

impl MigrationVersion {
    /// The version without its source.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The source that the version belongs to, if the test names it.
    pub(crate) fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }
}

impl From<i64> for MigrationVersion {
    fn from(number: i64) -> Self {
        Self::from(number.to_string())
    }
}

impl From<&str> for MigrationVersion {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for MigrationVersion {
    fn from(text: String) -> Self {
        Self { source: None, text }
    }
}

impl<V: Into<MigrationVersion>> From<(&str, V)> for MigrationVersion {
    fn from((source, version): (&str, V)) -> Self {
        Self {
            source: Some(source.into()),
            ..version.into()
        }
    }
}

impl fmt::Display for MigrationVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.source {
            Some(source) => write!(f, " of {}", source.display()),
            None => Ok(()),
        }
    }
}
