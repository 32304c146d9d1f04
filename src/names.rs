//! Names that enter SQL or paths, as types that quote themselves.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The prefix of every database that ebbtide creates.
pub(crate) const DATABASE_PREFIX: &str = "ebbtide_";

/// An identifier, displayed in double quotes as SQL wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ident<'a>(pub(crate) &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A string constant, displayed in single quotes as SQL wants it.
///
/// A backslash switches to the `E''` form, which reads the same whatever `standard_conforming_strings` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Literal<'a>(pub(crate) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.0.replace('\'', "''");
        if quoted.contains('\\') { write!(f, "E'{}'", quoted.replace('\\', "\\\\")) } else { write!(f, "'{quoted}'") }
    }
}

/// Hash of everything that makes a database: server version, extensions, migrations, seeds, settings, format.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// As many hexadecimal digits as fit a database name and never collide in practice.
    const DIGITS: usize = 16;

    pub(crate) fn from_hash(hash: &[u8]) -> Self {
        Self(hex(hash).chars().take(Self::DIGITS).collect())
    }

    /// The fingerprint as hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A database that ebbtide created and may drop. Displays as a quoted identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DatabaseName(String);

impl DatabaseName {
    pub(crate) fn template(fingerprint: &Fingerprint) -> Self {
        Self(format!("{DATABASE_PREFIX}t_{fingerprint}"))
    }

    pub(crate) fn build(fingerprint: &Fingerprint) -> Self {
        Self(format!("{DATABASE_PREFIX}b_{fingerprint}_{}", short_id()))
    }

    pub(crate) fn lane(fingerprint: &Fingerprint, number: usize) -> Self {
        Self(format!("{DATABASE_PREFIX}l_{fingerprint}_{number}"))
    }

    pub(crate) fn kept() -> Self {
        Self(format!("{DATABASE_PREFIX}k_{}", short_id()))
    }

    /// Takes a name read from a server, if it is one of ours.
    ///
    /// # Errors
    /// The name does not carry our prefix: such a database is never ours to drop.
    pub(crate) fn ours(name: &str) -> Result<Self> {
        if name.starts_with(DATABASE_PREFIX) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::new(ErrorKind::Database, format!("database {name:?} was not created by ebbtide")))
        }
    }

    /// The fingerprint in a template's name.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        let digits = self.0.strip_prefix(DATABASE_PREFIX)?.strip_prefix("t_")?;
        let is_one = digits.len() == Fingerprint::DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| Fingerprint(digits.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ident(&self.0).fmt(f)
    }
}

/// Eight random hexadecimal digits.
pub(crate) fn short_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(8);
    id
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_literals_quote_what_would_break_out() {
        assert_eq!(Ident("a\"b").to_string(), "\"a\"\"b\"");
        assert_eq!(Literal("it's").to_string(), "'it''s'");
        assert_eq!(Literal(r"a\'b").to_string(), r"E'a\\''b'");
    }

    #[test]
    fn a_foreign_database_is_never_ours() {
        assert!(DatabaseName::ours("production").is_err());
        assert!(DatabaseName::ours("ebbtide_l_00_1").is_ok());
    }

    #[test]
    fn names_fit_the_63_bytes_of_an_identifier() {
        let fingerprint = Fingerprint::from_hash(&[255; 32]);
        assert!(DatabaseName::build(&fingerprint).as_str().len() <= 63);
        assert!(DatabaseName::lane(&fingerprint, 10_000).as_str().len() <= 63);
    }
}
