//! Names that enter SQL or paths, as types that quote themselves.

use std::fmt;

use sha2::{Digest as _, Sha256};

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
        if quoted.contains('\\') {
            write!(f, "E'{}'", quoted.replace('\\', "\\\\"))
        } else {
            write!(f, "'{quoted}'")
        }
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

    /// Another one, for another database of the same content.
    pub(crate) fn for_purpose(&self, purpose: &str) -> Self {
        Self::from_hash(&Sha256::digest(format!("{purpose} {self}")))
    }

    /// The key of the advisory lock that a template is built under.
    pub(crate) fn build_key(&self) -> i64 {
        i64::from_str_radix(&self.0[..15], 16).expect("a fingerprint holds hexadecimal digits")
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

    /// A lane under a name that no URL has yet: a client of an earlier test that connects again finds no database.
    pub(crate) fn new_lane(fingerprint: &Fingerprint, number: usize) -> Self {
        Self::lane(fingerprint, number, &short_id())
    }

    /// A lane by its token, the part of its name that changes.
    pub(crate) fn lane(fingerprint: &Fingerprint, number: usize, token: &str) -> Self {
        Self(format!(
            "{}{token}",
            Self::lanes_numbered(fingerprint, number)
        ))
    }

    /// What the names of a lane's databases begin with.
    pub(crate) fn lanes_numbered(fingerprint: &Fingerprint, number: usize) -> String {
        format!("{}{number}_", Self::lanes(fingerprint))
    }

    /// What the names of all lanes of a fingerprint begin with.
    pub(crate) fn lanes(fingerprint: &Fingerprint) -> String {
        format!("{DATABASE_PREFIX}l_{fingerprint}_")
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
            Err(Error::new(
                ErrorKind::Database,
                format!("database {name:?} was not created by ebbtide"),
            ))
        }
    }

    /// The fingerprint in the name of a template, a lane or a build.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        let rest = self.0.strip_prefix(DATABASE_PREFIX)?;
        let (kind, rest) = rest.split_once('_')?;
        let (digits, number) = rest
            .split_once('_')
            .map_or((rest, None), |(digits, number)| (digits, Some(number)));
        let is_one = digits.len() == Fingerprint::DIGITS
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_whole = match kind {
            "t" => number.is_none(),
            "l" | "b" => number.is_some(),
            _ => false,
        };
        (is_one && is_whole).then(|| Fingerprint(digits.to_owned()))
    }

    /// The number in the name of a lane.
    pub(crate) fn lane_number(&self) -> Option<usize> {
        self.0
            .strip_prefix(DATABASE_PREFIX)?
            .strip_prefix("l_")?
            .split('_')
            .nth(1)?
            .parse()
            .ok()
    }

    /// The token in the name of a lane.
    pub(crate) fn lane_token(&self) -> &str {
        self.0.rsplit('_').next().unwrap_or_default()
    }

    pub(crate) fn is_template(&self) -> bool {
        self.0
            .strip_prefix(DATABASE_PREFIX)
            .is_some_and(|rest| rest.starts_with("t_"))
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

/// The first hexadecimal digits of a text's hash.
pub(crate) fn short_hash(text: &str, digits: usize) -> String {
    let mut hash = hex(&Sha256::digest(text));
    hash.truncate(digits);
    hash
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
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
    fn a_fingerprint_is_read_from_whole_names_only() {
        let fingerprint = Fingerprint::from_hash(&[7; 32]);
        let (template, lane) = (
            DatabaseName::template(&fingerprint),
            DatabaseName::new_lane(&fingerprint, 3),
        );
        for name in [template, lane, DatabaseName::build(&fingerprint)] {
            assert_eq!(name.fingerprint().as_ref(), Some(&fingerprint), "{name}");
        }
        for name in [
            "ebbtide_k_00ff00ff",
            "ebbtide_t_00ff",
            "ebbtide_t_0707070707070707_1",
            "ebbtide_l_0707070707070707",
        ] {
            assert_eq!(
                DatabaseName::ours(name)
                    .expect("it has our prefix")
                    .fingerprint(),
                None,
                "{name}"
            );
        }
        assert!(DatabaseName::template(&fingerprint).is_template());
        let lane = DatabaseName::lane(&fingerprint, 3, "00ff00ff");
        assert_eq!(
            (lane.lane_number(), lane.lane_token()),
            (Some(3), "00ff00ff")
        );
    }

    #[test]
    fn names_fit_the_63_bytes_of_an_identifier() {
        let fingerprint = Fingerprint::from_hash(&[255; 32]);
        assert!(DatabaseName::build(&fingerprint).as_str().len() <= 63);
        assert!(DatabaseName::new_lane(&fingerprint, 10_000).as_str().len() <= 63);
    }
}
