//! The types of the values that a plan holds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
    /// Kept when it pays: it is small enough, and a template was built.
    #[default]
    Auto,
    /// Every container starts from the image alone.
    Never,
}

/// Where the schema comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migrations {
    /// A folder of migrations, absolute and seen to exist when it stands in a plan.
    Directory(PathBuf),
    /// No migrations.
    None,
    /// A program that migrates the database named in its environment.
    Command {
        /// The program and its arguments; never empty in a plan.
        command: Vec<String>,
        /// The files and folders whose content decides the outcome; a change to them means a new template.
        inputs: Vec<PathBuf>,
    },
}

/// What the provisioned database has to hold before it may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expect {
    /// Tables that have to exist.
    pub tables: Vec<String>,
    /// The exact number of rows, by table.
    pub rows: BTreeMap<String, u64>,
    /// The labels in order, by enum type.
    pub enums: BTreeMap<String, Vec<String>>,
}

impl Expect {
    /// True when nothing is expected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.rows.is_empty() && self.enums.is_empty()
    }

    /// Both expectations; on the same table or type `self` decides.
    pub(super) fn over(self, weaker: Expect) -> Expect {
        let (mut tables, mut rows, mut enums) = (weaker.tables, weaker.rows, weaker.enums);
        tables.extend(self.tables);
        rows.extend(self.rows);
        enums.extend(self.enums);
        Expect { tables: without_repeats(tables), rows, enums }
    }
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
        known.map(|(word, _)| *word).expect("every value has a word")
    }

    /// The value for this word, or an error that begins with `label`.
    fn from_word(word: &str, label: &str) -> Result<Self> {
        if let Some((_, value)) = Self::WORDS.iter().find(|(legal, _)| *legal == word) {
            return Ok(*value);
        }
        let legal: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let error = Error::new(ErrorKind::Config, format!("{label} is not one of: {}", legal.join(", ")));
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
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Storage::Auto), ("memory", Storage::Memory), ("disk", Storage::Disk)];
    const SLIPS: &'static [(&'static str, Self)] =
        &[("ram", Storage::Memory), ("tmpfs", Storage::Memory), ("ssd", Storage::Disk)];
}

impl Choice for Cache {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Cache::Auto), ("never", Cache::Never)];
    const SLIPS: &'static [(&'static str, Self)] =
        &[("off", Cache::Never), ("none", Cache::Never), ("no", Cache::Never), ("on", Cache::Auto)];
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
        assert_eq!(error.to_string(), r#""dokcer" is not one of: auto, container, native, external"#);
        assert_eq!(error.help(), Some("did you mean container?"));
        let error = "Disk".parse::<Storage>().expect_err("not legal");
        assert_eq!(error.to_string(), r#""Disk" is not one of: auto, memory, disk"#);
        assert_eq!(error.help(), Some("did you mean disk?"));
    }

    #[test]
    fn a_word_that_is_near_to_nothing_gets_no_advice() {
        assert_eq!("mainframe".parse::<Backend>().expect_err("not legal").help(), None);
    }

    #[test]
    fn expectations_are_put_together_by_name() {
        let rows = |table: &str, count| BTreeMap::from([(table.to_owned(), count)]);
        let strong = Expect { tables: vec!["a".into(), "b".into()], rows: rows("a", 1), ..Expect::default() };
        let weak = Expect { tables: vec!["b".into(), "c".into()], rows: rows("a", 2), ..Expect::default() };
        let both = strong.over(weak);
        assert_eq!(both.tables, ["b", "c", "a"]);
        assert_eq!(both.rows, rows("a", 1));
    }
}
