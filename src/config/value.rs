//! The types of a plan's values.

use std::fmt;
use std::str::FromStr;

use super::nearest::nearest;
use crate::error::{Error, ErrorKind, Result};

/// How ebbtide gets a server.
///
/// # Examples
///
/// ```
/// use ebbtide::config::Backend;
///
/// let backend: Backend = "native".parse()?;
/// assert_eq!(backend, Backend::Native);
/// # Ok::<(), ebbtide::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Backend {
    /// A container if an engine answers and has the image or can pull it, else native. With a URL,
    /// external.
    #[default]
    Auto,
    /// A container from an image, through Docker, Podman or another engine with Docker's protocol.
    Container,
    /// This machine's own `postgres` and `initdb`.
    Native,
    /// A server that already runs, at a URL.
    External,
}

/// Where a server that ebbtide starts stores its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Storage {
    /// In memory if there is room for 2 GiB, else on disk.
    #[default]
    Auto,
    /// In memory. A server that cannot store its data there does not start.
    Memory,
    /// On disk.
    Disk,
}

/// Whether the prepared data of a server is kept, so that the next server starts without `initdb`,
/// migrations and seeds. The engine keeps it in a volume. The data of a native server is a file in
/// the state directory's `cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Cache {
    /// A server that has built a template saves its data when it ends, if the data is small enough.
    #[default]
    Auto,
    /// Every server starts without templates.
    Never,
}

/// Whether a database gets a dedicated server, which only tests with the same contents use: the
/// same migrations, seeds, extensions, settings and expectations.
///
/// Roles, tablespaces and the effects of `ALTER SYSTEM` belong to the whole server. On a shared
/// server another project would see these objects, and a second build would find those of the
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dedicated {
    /// A dedicated server if a migration, a seed or a fixture has a statement that touches the
    /// whole server. Ebbtide cannot read the SQL that a command or a function sends, except in
    /// `.sql` files among the command's inputs.
    #[default]
    Auto,
    /// A dedicated server in every case. For a command or a function that touches the whole server.
    Always,
    /// A shared server, even with such statements. An external server accepts them only with this
    /// value.
    Never,
}

/// Which tests keep their databases for inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Keep {
    /// No test.
    #[default]
    Never,
    /// A test that fails.
    Failed,
    /// Every test.
    Always,
}

/// The list without repetitions: each item stays at its first place.
pub(super) fn without_repeats(items: Vec<String>) -> Vec<String> {
    let mut once = Vec::with_capacity(items.len());
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

/// A value that is written as one of a few words.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// The legal words.
    const WORDS: &'static [(&'static str, Self)];
    /// Words that people write instead. They are illegal, but the error proposes the legal word.
    const SYNONYMS: &'static [(&'static str, Self)];

    /// The legal word for this value.
    fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, value)| *value == self);
        known
            .map(|(word, _)| *word)
            .expect("every value has a word")
    }

    /// The value for this word. An error names `subject`, and prints the word as `display_text`.
    fn from_word(word: &str, subject: &str, display_text: &str) -> Result<Self> {
        if let Some((_, value)) = Self::WORDS.iter().find(|(legal, _)| *legal == word) {
            return Ok(*value);
        }
        let legal: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let error = Error::new(
            ErrorKind::Config,
            format!(
                "{subject} must be {}, but is {display_text}",
                alternatives(&legal)
            ),
        );
        let known = || Self::WORDS.iter().chain(Self::SYNONYMS);
        let meant = nearest(word, known().map(|(word, _)| *word))
            .and_then(|closest| known().find(|(word, _)| *word == closest))
            .map(|(_, value)| value.word());
        Err(match meant {
            Some(meant) => error.with_help(format!("did you mean {meant}?")),
            None => error,
        })
    }
}

/// The words as a list: `a, b or c`.
fn alternatives(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

impl Choice for Backend {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Backend::Auto),
        ("container", Backend::Container),
        ("native", Backend::Native),
        ("external", Backend::External),
    ];
    const SYNONYMS: &'static [(&'static str, Self)] = &[
        ("docker", Backend::Container),
        ("podman", Backend::Container),
        ("testcontainers", Backend::Container),
        ("local", Backend::Native),
        ("binaries", Backend::Native),
        ("remote", Backend::External),
    ];
}

impl Backend {
    /// The backends that [`Auto`](Self::Auto) chooses from.
    pub(crate) const AUTO_CANDIDATES: [Self; 2] = [Self::Container, Self::Native];
}

impl Choice for Storage {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Storage::Auto),
        ("memory", Storage::Memory),
        ("disk", Storage::Disk),
    ];
    const SYNONYMS: &'static [(&'static str, Self)] = &[
        ("ram", Storage::Memory),
        ("tmpfs", Storage::Memory),
        ("ssd", Storage::Disk),
    ];
}

impl Choice for Cache {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Cache::Auto), ("never", Cache::Never)];
    const SYNONYMS: &'static [(&'static str, Self)] = &[
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
    const SYNONYMS: &'static [(&'static str, Self)] = &[
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
    const SYNONYMS: &'static [(&'static str, Self)] = &[
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
        Self::from_word(word, "backend", &format!("{word:?}"))
    }
}

impl FromStr for Storage {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, "storage", &format!("{word:?}"))
    }
}

impl FromStr for Cache {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, "cache", &format!("{word:?}"))
    }
}

impl FromStr for Keep {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, "keep", &format!("{word:?}"))
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
        Self::from_word(word, "dedicated", &format!("{word:?}"))
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
    fn every_word_parses_to_a_value_that_prints_as_the_word() {
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
    fn the_error_of_a_misspelt_word_proposes_the_closest_legal_word() {
        let error = "dokcer".parse::<Backend>().expect_err("not legal");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(
            error.to_string(),
            r#"backend must be auto, container, native or external, but is "dokcer""#
        );
        assert_eq!(error.help(), Some("did you mean container?"));
        let error = "Disk".parse::<Storage>().expect_err("not legal");
        assert_eq!(
            error.to_string(),
            r#"storage must be auto, memory or disk, but is "Disk""#
        );
        assert_eq!(error.help(), Some("did you mean disk?"));
    }

    #[test]
    fn an_error_without_a_close_legal_word_has_no_help() {
        assert_eq!(
            "mainframe"
                .parse::<Backend>()
                .expect_err("not legal")
                .help(),
            None
        );
    }
}
