//! Who sorts and compares texts in a database.

use std::fmt;
use std::str::FromStr;

use super::value::Choice;
use crate::error::{Error, Result};

/// Who sorts and compares texts in a database.
/// <https://www.postgresql.org/docs/current/locale.html#LOCALE-PROVIDERS>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LocaleProvider {
    /// The C library of the server's machine, which has the locales that are generated there.
    #[default]
    Libc,
    /// The library ICU, with the same locales on every machine. From PostgreSQL 15 on.
    Icu,
    /// PostgreSQL itself, with the locales `C`, `C.UTF-8` and `PG_UNICODE_FAST`. From PostgreSQL 17
    /// on.
    Builtin,
}

impl Choice for LocaleProvider {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("libc", LocaleProvider::Libc),
        ("icu", LocaleProvider::Icu),
        ("builtin", LocaleProvider::Builtin),
    ];
    const SYNONYMS: &'static [(&'static str, Self)] = &[("glibc", LocaleProvider::Libc)];
}

impl FromStr for LocaleProvider {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::from_word(word, "locale_provider", &format!("{word:?}"))
    }
}

impl fmt::Display for LocaleProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
