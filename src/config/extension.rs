//! An extension to install, with its schema and version.

use std::fmt;
use std::path::Path;

use toml::de::DeValue;

use super::document::Entry;
use super::key::Key;
use super::key_type::{KeyType, Variable};
use super::raw_value::RawValue;
use super::source::{Source, Sourced};
use crate::error::{Error, ErrorKind, Result};

const NAME: Key = Key::part(
    "provision.extensions.name",
    "extension",
    r#"the name of an extension, such as "pg_trgm""#,
);
const SCHEMA: Key = Key::part(
    "provision.extensions.schema",
    "extension",
    r#"the name of a schema, such as "ext""#,
);
const VERSION: Key = Key::part(
    "provision.extensions.version",
    "extension",
    r#"a version in quotes, such as "1.1""#,
);
const CASCADE: Key = Key::part("provision.extensions.cascade", "extension", "true, false");
const PARTS: [&str; 4] = ["name", "schema", "version", "cascade"];

/// An extension that ebbtide installs before the migrations.
///
/// A name alone stands for the default version in the default schema. Extensions that this one
/// requires are installed with it.
///
/// # Examples
/// ```
/// use ebbtide::config::{Builder, Extension};
///
/// let uuid = Extension::new("uuid-ossp").schema("ext").version("1.1");
/// let builder = Builder::new().extension("pg_trgm").extension(uuid);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extension {
    pub(crate) name: String,
    pub(crate) schema: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) has_cascade: bool,
}

impl Extension {
    /// An extension in its default version.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            schema: None,
            version: None,
            has_cascade: true,
        }
    }

    /// Sets the schema of the extension's objects. Ebbtide creates it if it does not exist.
    #[must_use]
    pub fn schema(self, schema: impl Into<String>) -> Self {
        Self {
            schema: Some(schema.into()),
            ..self
        }
    }

    /// Sets the version. Default: the server's default version of the extension.
    #[must_use]
    pub fn version(self, version: impl Into<String>) -> Self {
        Self {
            version: Some(version.into()),
            ..self
        }
    }

    /// Does not install the extensions that this one requires. Without them it is an error.
    #[must_use]
    pub fn without_cascade(self) -> Self {
        Self {
            has_cascade: false,
            ..self
        }
    }

    /// Reads the form of the variable: `NAME [schema SCHEMA] [version VERSION] [no-cascade]`.
    fn from_words(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut extension = Self::new(words.next()?);
        while let Some(word) = words.next() {
            extension = match word {
                "schema" => extension.schema(words.next()?),
                "version" => extension.version(words.next()?),
                "no-cascade" => extension.without_cascade(),
                _ => return None,
            };
        }
        Some(extension)
    }

    /// Reads an item of the list in `ebbtide.toml`.
    fn from_item(item: &Entry<'_>, legal: &str) -> Result<Self> {
        match item.value() {
            DeValue::String(name) => Ok(Self::new(name.as_ref())),
            DeValue::Table(_) => {
                let mut name = None;
                let mut extension = Self::new("");
                for part in item.table(legal)? {
                    extension = match part.name {
                        "name" => {
                            name = Some(part.text(&NAME)?.not_blank()?.value);
                            extension
                        }
                        "schema" => extension.schema(part.text(&SCHEMA)?.not_blank()?.value),
                        "version" => extension.version(part.text(&VERSION)?.not_blank()?.value),
                        "cascade" if !part.flag(&CASCADE)? => extension.without_cascade(),
                        "cascade" => extension,
                        _ => return Err(part.unknown_key(&PARTS)),
                    };
                }
                let Some(name) = name else {
                    let message = format!("{} must have a name", item.path());
                    return Err(item
                        .error(message)
                        .with_help("add the key name, for example name = \"pg_trgm\""));
                };
                Ok(Self { name, ..extension })
            }
            _ => Err(item.type_error("a string or a table", legal)),
        }
    }
}

impl From<&str> for Extension {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Extension {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// The form of the variable.
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(schema) = &self.schema {
            write!(f, " schema {schema}")?;
        }
        if let Some(version) = &self.version {
            write!(f, " version {version}")?;
        }
        if !self.has_cascade {
            f.write_str(" no-cascade")?;
        }
        Ok(())
    }
}

/// A list in which each extension occurs once.
impl KeyType for Vec<Extension> {
    type Value = Self;

    fn from_variable(variable: Variable) -> Result<Sourced<Self>> {
        let Sourced { value, source } = variable.text()?.not_blank()?;
        let extension = |item: &str| {
            Extension::from_words(item).ok_or_else(|| {
                let message = format!(
                    "{source} must have extensions of the form NAME schema SCHEMA version VERSION, \
                     but one is {item:?}"
                );
                Error::new(ErrorKind::Config, message).with_help(
                    "separate extensions by commas; schema, version and no-cascade may be left \
                     out, for example pg_trgm, uuid-ossp schema ext version 1.1",
                )
            })
        };
        let all = RawValue::items(&value)
            .map(extension)
            .collect::<Result<_>>()?;
        Ok(Sourced::new(distinct(all, &source.to_string())?, source))
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, _dir: &Path) -> Result<Sourced<Self>> {
        let mut all = Vec::new();
        for item in entry.items(key.legal)? {
            all.push(Extension::from_item(&item, key.legal)?);
        }
        let subject = key.subject(&entry.source());
        Ok(Sourced::new(distinct(all, &subject)?, entry.source()))
    }

    fn check(key: &'static Key, value: &Self, source: &Source) -> Result<()> {
        distinct(value.clone(), &key.subject(source)).map(drop)
    }

    fn print(value: &Self, absent: &str) -> String {
        if value.is_empty() {
            return absent.to_owned();
        }
        let all: Vec<String> = value.iter().map(ToString::to_string).collect();
        all.join(", ")
    }
}

/// The list without repetitions.
///
/// # Errors
/// A name is blank or contains blanks, or one extension has two forms. An error begins with
/// `subject`.
fn distinct(all: Vec<Extension>, subject: &str) -> Result<Vec<Extension>> {
    let mut once: Vec<Extension> = Vec::with_capacity(all.len());
    for extension in all {
        let name = &extension.name;
        if name.is_empty() || name.contains(char::is_whitespace) {
            let message = format!("{subject} must have names of extensions, but one is {name:?}");
            return Err(Error::new(ErrorKind::Config, message).with_help(
                "write a schema or a version as keys of their own: \
                 { name = \"uuid-ossp\", schema = \"ext\", version = \"1.1\" }",
            ));
        }
        match once.iter().find(|known| known.name == *name) {
            None => once.push(extension),
            Some(known) if *known == extension => {}
            Some(known) => {
                let message = format!(
                    "{subject} must have each extension once, but has \"{known}\" and \
                     \"{extension}\""
                );
                return Err(Error::new(ErrorKind::Config, message)
                    .with_help("remove one of them: a database has one version of an extension"));
            }
        }
    }
    Ok(once)
}
