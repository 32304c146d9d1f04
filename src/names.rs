//! Names that become part of SQL or of paths, as types whose `Display` quotes them.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// The prefix of every database that ebbtide creates.
pub(crate) const DATABASE_PREFIX: &str = "ebbtide_";

/// The value of `owner` in the comments that ebbtide writes on databases.
pub(crate) const OWNER_MARK: &str = "ebbtide";

/// The key of the advisory lock under which ebbtide creates and alters roles. Two processes that
/// alter one role at the same time fail with `tuple concurrently updated`. Roles belong to the whole
/// server, and an advisory lock to one database: every holder takes it in the administrative one.
pub(crate) const ROLE_LOCK_KEY: i64 = 0x6562_6272_6f6c_6573;

/// A quoted identifier.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ident<'a>(pub(crate) &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A string constant, in single quotes.
///
/// Text with a backslash becomes an `E''` constant, whose meaning does not depend on
/// `standard_conforming_strings`.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE>
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

/// Hash of everything that determines a template's contents.
///
/// This includes the server version, extensions, migrations, seeds, settings and ebbtide's own
/// format.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// 64 bits: short enough for a database name, and long enough that collisions do not occur in
    /// practice.
    const DIGITS: usize = 16;

    pub(crate) fn from_hash(hash: &[u8]) -> Self {
        Self(hex::encode(hash).chars().take(Self::DIGITS).collect())
    }

    /// The fingerprint of another database that is derived from the same contents.
    pub(crate) fn for_purpose(&self, purpose: &str) -> Self {
        Self::from_hash(&Sha256::digest(format!("{purpose} {self}")))
    }

    /// The key of the advisory lock that a process holds while it builds the template.
    ///
    /// 15 digits are 60 bits, so the key is always positive.
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

/// The name of a database that ebbtide created and may drop. Displays as a quoted identifier.
///
/// | kind | name |
/// |---|---|
/// | template | `ebbtide_t_FINGERPRINT` |
/// | half-built template | `ebbtide_b_FINGERPRINT_ID` |
/// | lane | `ebbtide_l_FINGERPRINT_NUMBER_TOKEN` |
/// | kept database | `ebbtide_k_ID` |
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DatabaseName(String);

impl DatabaseName {
    pub(crate) fn template(fingerprint: &Fingerprint) -> Self {
        Self(format!("{DATABASE_PREFIX}t_{fingerprint}"))
    }

    pub(crate) fn build(fingerprint: &Fingerprint) -> Self {
        Self(format!("{DATABASE_PREFIX}b_{fingerprint}_{}", short_id()))
    }

    /// A lane's database under a new token.
    ///
    /// A client of an earlier test that reconnects with its old URL finds no database.
    pub(crate) fn new_lane(fingerprint: &Fingerprint, number: usize) -> Self {
        Self::lane(fingerprint, number, &short_id())
    }

    /// A lane's database under a known token, the part of its name that changes.
    pub(crate) fn lane(fingerprint: &Fingerprint, number: usize, token: &str) -> Self {
        Self(format!("{}{token}", Self::lane_prefix(fingerprint, number)))
    }

    /// The part before the token, which all names of a lane's databases begin with.
    pub(crate) fn lane_prefix(fingerprint: &Fingerprint, number: usize) -> String {
        format!("{}{number}_", Self::all_lanes_prefix(fingerprint))
    }

    /// The part that the names of all lanes of a fingerprint begin with.
    pub(crate) fn all_lanes_prefix(fingerprint: &Fingerprint) -> String {
        format!("{DATABASE_PREFIX}l_{fingerprint}_")
    }

    pub(crate) fn kept() -> Self {
        Self(format!("{DATABASE_PREFIX}k_{}", short_id()))
    }

    /// Accepts a name that was read from a server.
    ///
    /// # Errors
    /// The name does not begin with [`DATABASE_PREFIX`], so ebbtide must never drop the database.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        if name.starts_with(DATABASE_PREFIX) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::new(
                ErrorKind::Database,
                format!(
                    "the name of a database of ebbtide must begin with {DATABASE_PREFIX}, but is \
                     {name:?}"
                ),
            ))
        }
    }

    /// The fingerprint in the name of a template, a lane or a half-built template.
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

/// A hash of named parts. The name and the value of each part are preceded by their lengths, so
/// different parts never hash the same bytes, whatever text they contain.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartsHash(Sha256);

impl PartsHash {
    /// Adds a part. A value that may be absent is a list of none or one.
    pub(crate) fn part(&mut self, name: &str, value: impl AsRef<[u8]>) {
        for bytes in [name.as_bytes(), value.as_ref()] {
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
    }

    /// Adds the number of values, and each value.
    pub(crate) fn list<T: AsRef<[u8]>>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) {
        let values = values.into_iter();
        self.part(name, values.len().to_string());
        for value in values {
            self.part("", value);
        }
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The first hexadecimal digits of the hash.
    pub(crate) fn digits(self, count: usize) -> String {
        let mut hash = hex::encode(self.finish());
        hash.truncate(count);
        hash
    }
}

/// The first hexadecimal digits of a text's hash.
pub(crate) fn short_hash(text: &str, digits: usize) -> String {
    let mut hash = hex::encode(Sha256::digest(text));
    hash.truncate(digits);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_have_different_hashes() {
        let hash = |lists: &[(&str, &[&str])]| {
            let mut hash = PartsHash::default();
            for (name, values) in lists {
                hash.list(name, values.iter());
            }
            hash.digits(16)
        };
        let all = [
            hash(&[("a", &["b", "c"])]),
            hash(&[("a", &["b c"])]),
            hash(&[("a", &["b"]), ("c", &[])]),
            hash(&[("a", &[]), ("b", &["c"])]),
            hash(&[("ab", &["c"])]),
            hash(&[]),
        ];
        let once: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(once.len(), all.len());
    }

    #[test]
    fn identifiers_and_literals_escape_their_own_delimiters() {
        assert_eq!(Ident("a\"b").to_string(), "\"a\"\"b\"");
        assert_eq!(Literal("it's").to_string(), "'it''s'");
        assert_eq!(Literal(r"a\'b").to_string(), r"E'a\\''b'");
    }

    #[test]
    fn a_name_without_the_prefix_is_refused() {
        assert!(DatabaseName::parse("production").is_err());
        assert!(DatabaseName::parse("ebbtide_l_00_1").is_ok());
    }

    #[test]
    fn a_fingerprint_is_read_from_complete_names_only() {
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
                DatabaseName::parse(name)
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
