//! A role that ebbtide creates, with its memberships and privileges.

use std::path::Path;

use toml::de::DeValue;

use super::document::Entry;
use super::key::Key;
use super::key_type::{KeyType, Variable};
use super::source::{Source, Sourced};
use super::value::without_repeats;
use crate::error::{Error, ErrorKind, Result};
use crate::names::PartsHash;

const NAME: Key = Key::part(
    "provision.roles.name",
    "role",
    r#"the name of a role, such as "app""#,
);
const MEMBER_OF: Key = Key::part(
    "provision.roles.member_of",
    "role",
    r#"a list of roles, such as ["readers"]"#,
);
const GRANTS: Key = Key::part(
    "provision.roles.grants",
    "role",
    r#"a list of privileges, such as ["select on all tables in schema public"]"#,
);
const PARTS: [&str; 3] = ["name", "member_of", "grants"];

/// The longest name of a role in bytes. PostgreSQL cuts a longer one without an error
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
const MAX_NAME_BYTES: usize = 63;

/// A role that ebbtide creates before the bootstrap: it may log in, and is neither a superuser nor
/// exempt from row level security.
///
/// On an external server the role must exist already.
///
/// # Examples
/// ```
/// use ebbtide::config::{Builder, Role};
///
/// let app = Role::new("app")
///     .member_of("readers")
///     .grant("insert, update on all tables in schema public");
/// let builder = Builder::new()
///     .role("app_owner")
///     .role(Role::new("readers").grant("select on all tables in schema public"))
///     .role(app)
///     .owner("app_owner")
///     .test_role("app");
/// # drop(builder);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub(crate) name: String,
    pub(crate) member_of: Vec<String>,
    pub(crate) grants: Vec<String>,
}

impl Role {
    /// A role without memberships and privileges. The name is written without quotes, and case
    /// counts.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            member_of: Vec::new(),
            grants: Vec::new(),
        }
    }

    /// Makes the role a member of another one, which an entry before this one creates or which the
    /// server has.
    #[must_use]
    pub fn member_of(mut self, role: impl Into<String>) -> Self {
        self.member_of.push(role.into());
        self
    }

    /// Grants privileges to the role after the migrations. `privileges` is what PostgreSQL's
    /// `GRANT` has before `TO`
    /// (<https://www.postgresql.org/docs/current/sql-grant.html>).
    #[must_use]
    pub fn grant(mut self, privileges: impl Into<String>) -> Self {
        self.grants.push(privileges.into());
        self
    }

    /// Reads an item of the list in `ebbtide.toml`.
    fn from_item(item: &Entry<'_>, legal: &str) -> Result<Self> {
        match item.value() {
            DeValue::String(name) => Ok(Self::new(name.as_ref())),
            DeValue::Table(_) => {
                let mut name = None;
                let mut role = Self::new("");
                for part in item.table(legal)? {
                    match part.name {
                        "name" => name = Some(part.text(&NAME)?.not_blank()?.value),
                        "member_of" => role.member_of = without_repeats(part.list(&MEMBER_OF)?),
                        "grants" => role.grants = part.list(&GRANTS)?,
                        _ => return Err(part.unknown_key(&PARTS)),
                    }
                }
                let Some(name) = name else {
                    let message = format!("{} must have a name", item.path());
                    return Err(item
                        .error(message)
                        .with_help("add the key name, for example name = \"app\""));
                };
                Ok(Self { name, ..role })
            }
            _ => Err(item.type_error("a string or a table", legal)),
        }
    }

    /// Adds the role to the hash of everything that determines a server or a database.
    pub(crate) fn hash_into(&self, hash: &mut PartsHash) {
        let Self {
            name,
            member_of,
            grants,
        } = self;
        hash.part("role", name);
        hash.list("member of", member_of);
        hash.list("grants", grants);
    }
}

impl From<&str> for Role {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Role {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// A list in which each role occurs once.
impl KeyType for Vec<Role> {
    type Value = Self;

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Self>> {
        let mut all = Vec::new();
        for item in entry.items(key.legal)? {
            all.push(Role::from_item(&item, key.legal)?);
        }
        check_all(&all, &key.subject(&entry.source()))?;
        Ok(Sourced::new(all, entry.source()))
    }

    fn check(key: &'static Key, value: &Self, source: &Source) -> Result<()> {
        check_all(value, &key.subject(source))
    }

    fn print(value: &Self, absent: &str) -> String {
        if value.is_empty() {
            return absent.to_owned();
        }
        let names: Vec<&str> = value.iter().map(|role| role.name.as_str()).collect();
        names.join(", ")
    }
}

/// The name of a role that the server must have: a role of the plan, of the bootstrap or of the
/// migrations.
#[derive(Debug)]
pub(crate) enum RoleName {}

impl KeyType for RoleName {
    type Value = String;

    fn from_variable(variable: Variable) -> Result<Sourced<String>> {
        let name = variable.text()?.not_blank()?;
        check_name(&name.value, &name.source.to_string())?;
        Ok(name)
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<String>> {
        let name = entry.text(key)?.not_blank()?;
        check_name(&name.value, &key.subject(&name.source))?;
        Ok(name)
    }

    fn check(key: &'static Key, value: &String, source: &Source) -> Result<()> {
        check_name(value, &key.subject(source))
    }

    fn print(value: &String, _absent: &str) -> String {
        value.clone()
    }
}

/// # Errors
/// A name cannot be that of a new role, or two roles have one name.
fn check_all(roles: &[Role], subject: &str) -> Result<()> {
    for (at, role) in roles.iter().enumerate() {
        check_name(&role.name, subject)?;
        // https://www.postgresql.org/docs/current/sql-createrole.html
        let is_reserved = role.name.starts_with("pg_")
            || ["postgres", "public", "none"].contains(&role.name.as_str());
        if is_reserved {
            let message = format!(
                "{subject} must have names of new roles, but {:?} is reserved",
                role.name
            );
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("choose another name, for example \"app\""));
        }
        if roles[..at].iter().any(|other| other.name == role.name) {
            let message = format!(
                "{subject} must have each role once, but has {:?} twice",
                role.name
            );
            return Err(Error::new(ErrorKind::Config, message).with_help("remove one of them"));
        }
        let member = role.member_of.iter().find(|other| **other == role.name);
        if let Some(member) = member {
            let message = format!("{subject} must not make {member:?} a member of itself");
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("remove the role from its own member_of"));
        }
    }
    Ok(())
}

/// # Errors
/// No role can have the name.
fn check_name(name: &str, subject: &str) -> Result<()> {
    if name.trim().is_empty() || name.contains('\0') || name.len() > MAX_NAME_BYTES {
        let message = format!(
            "{subject} must have names of roles (1 to {MAX_NAME_BYTES} bytes), but one is {name:?}"
        );
        return Err(Error::new(ErrorKind::Config, message).with_help(
            "write the name without quotes and as the server stores it, for example \"app\"",
        ));
    }
    Ok(())
}
