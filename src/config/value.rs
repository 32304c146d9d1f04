//! The types of the values that a plan holds.

use std::fmt;
use std::str::FromStr;

use super::nearest::nearest;
use crate::error::{Error, ErrorKind, Result};

/// How a server comes to be.
///
/// # Examples
///
/// ```
/// use ebbtide::Backend;
///
/// let backend: Backend = "native".parse()?;
/// assert_eq!(backend, Backend::Native);
/// # Ok::<(), ebbtide::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Backend {
    /// A container if Docker answers, else local binaries.
    #[default]
    Auto,
    /// A container, through Docker.
    Container,
    /// Server binaries of this machine.
    Native,
    /// A server that already runs, named by a URL.
    External,
}

/// Where a server that ebbtide starts keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Storage {
    /// In memory when there is room, else on disk.
    #[default]
    Auto,
    /// In memory, or not at all.
    Memory,
    /// On disk.
    Disk,
}

/// Whether the prepared data of a container is kept in a volume of the engine, from which the next container starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Cache {
    /// KeptDatabase when it pays: it is small enough, and a template was built.
    #[default]
    Auto,
    /// Every container starts from the image alone.
    Never,
}

/// Whether a database gets a server that only tests of the same contents use: the same migrations, seeds, extensions,
/// settings and expectations.
///
/// Roles, tablespaces, `ALTER SYSTEM` and their like belong to the whole server. Another project on it would see them, and
/// a second build would find them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dedicated {
    /// When a migration, a seed or a fixture has a statement that touches the whole server. SQL that a command or a
    /// function sends cannot be seen, except in `.sql` files among the command's inputs.
    #[default]
    Auto,
    /// Always. For a command or a function that touches the whole server.
    Always,
    /// Never: the server is shared in spite of such statements. The only choice for an external server.
    Never,
}

/// When a test's databases are kept for a person to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Keep {
    /// Never.
    #[default]
    Never,
    /// When the test has failed.
    Failed,
    /// Whatever came of it.
    Always,
}

/// The same list, each item at its first place only.
pub(super) fn without_repeats(items: Vec<String>) -> Vec<String> {
    let mut once = Vec::with_capacity(items.len());
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

/// A value that is one of a few words.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// The legal words.
    const WORDS: &'static [(&'static str, Self)];
    /// Words that people write instead, for advice only.
    const SLIPS: &'static [(&'static str, Self)];

    /// The legal word for this value.
    fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, value)| *value == self);
        known
            .map(|(word, _)| *word)
            .expect("every value has a word")
    }

    /// The value for this word, or an error that begins with `label`.
    fn from_word(word: &str, label: &str) -> Result<Self> {
        if let Some((_, value)) = Self::WORDS.iter().find(|(legal, _)| *legal == word) {
            return Ok(*value);
        }
        let legal: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let error = Error::new(
            ErrorKind::Config,
            format!("{label} is not one of: {}", legal.join(", ")),
        );
        let known = || Self::WORDS.iter().chain(Self::SLIPS);
        let meant = nearest(word, known().map(|(word, _)| *word))
            .and_then(|near| known().find(|(word, _)| *word == near))
            .map(|(_, value)| value.word());
        Err(match meant {
            Some(meant) => error.with_help(format!("did you mean {meant}?")),
            None => error,
        })
    }
}

impl Choice for Backend {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Backend::Auto),
        ("container", Backend::Container),
        ("native", Backend::Native),
        ("external", Backend::External),
    ];
    const SLIPS: &'static [(&'static str, Self)] = &[
        ("docker", Backend::Container),
        ("podman", Backend::Container),
        ("testcontainers", Backend::Container),
        ("local", Backend::Native),
        ("binaries", Backend::Native),
        ("remote", Backend::External),
    ];
}

impl Choice for Storage {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Storage::Auto),
        ("memory", Storage::Memory),
        ("disk", Storage::Disk),
    ];
    const SLIPS: &'static [(&'static str, Self)] = &[
        ("ram", Storage::Memory),
        ("tmpfs", Storage::Memory),
        ("ssd", Storage::Disk),
    ];
}

impl Choice for Cache {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Cache::Auto), ("never", Cache::Never)];
    const SLIPS: &'static [(&'static str, Self)] = &[
        ("off", Cache::Never),
        ("none", Cache::Never),
        ("no", Cache::Never),
        ("on", Cache::Auto),
    ];
}

impl Choice for Dedicated {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Dedicated::Auto),
        ("always", Dedicated::Always),
        ("never", Dedicated::Never),
    ];
    const SLIPS: &'static [(&'static str, Self)] = &[
        ("true", Dedicated::Always),
        ("yes", Dedicated::Always),
        ("on", Dedicated::Always),
        ("false", Dedicated::Never),
        ("no", Dedicated::Never),
        ("off", Dedicated::Never),
        ("shared", Dedicated::Never),
    ];
}

impl Choice for Keep {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("never", Keep::Never),
        ("failed", Keep::Failed),
        ("always", Keep::Always),
    ];
    const SLIPS: &'static [(&'static str, Self)] = &[
        ("no", Keep::Never),
        ("off", Keep::Never),
        ("none", Keep::Never),
        ("yes", Keep::Always),
        ("all", Keep::Always),
    ];
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, &format!("{word:?}"))
    }
}

impl FromStr for Storage {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, &format!("{word:?}"))
    }
}

impl FromStr for Cache {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, &format!("{word:?}"))
    }
}

impl FromStr for Keep {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, &format!("{word:?}"))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Dedicated {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, &format!("{word:?}"))
    }
}

impl fmt::Display for Dedicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_and_prints_the_same() {
        for (word, value) in Backend::WORDS {
            assert_eq!(word.parse::<Backend>().expect("legal"), *value);
            assert_eq!(value.to_string(), *word);
        }
        for (word, value) in Storage::WORDS {
            assert_eq!(word.parse::<Storage>().expect("legal"), *value);
            assert_eq!(value.to_string(), *word);
        }
    }

    #[test]
    fn a_slip_is_refused_with_the_word_that_was_meant() {
        let error = "dokcer".parse::<Backend>().expect_err("not legal");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(
            error.to_string(),
            r#""dokcer" is not one of: auto, container, native, external"#
        );
        assert_eq!(error.help(), Some("did you mean container?"));
        let error = "Disk".parse::<Storage>().expect_err("not legal");
        assert_eq!(
            error.to_string(),
            r#""Disk" is not one of: auto, memory, disk"#
        );
        assert_eq!(error.help(), Some("did you mean disk?"));
    }

    #[test]
    fn a_word_that_is_near_to_nothing_gets_no_advice() {
        assert_eq!(
            "mainframe"
                .parse::<Backend>()
                .expect_err("not legal")
                .help(),
            None
        );
    }
}
