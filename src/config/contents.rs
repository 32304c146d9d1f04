//! Migrations and seeds as keys: how they are read, checked and printed.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::document::Entry;
use super::env::Environment;
use super::key::Key;
use super::key_type::{KeyType, Variable};
use super::migration_command::MigrationCommand;
use super::migrations::{Layout, Migrations, SchemaSource};
use super::source::{Source, Sourced};
use super::value::Choice as _;
use crate::error::{Error, ErrorKind, Result};

/// The directory of migrations, relative to the package's directory, if no source sets one.
pub(super) const DEFAULT_MIGRATIONS_DIR: &str = "migrations";
const DEFAULT_SEEDS_DIR: &str = "seeds";

// The parts of a command in `ebbtide.toml`.
const COMMAND: Key = Key::part(
    "provision.migrations.command",
    "migrations",
    r#"a program and its arguments, such as ["alembic", "upgrade", "head"]"#,
);
const INPUTS: Key = Key::part(
    "provision.migrations.inputs",
    "migrations",
    r#"a list of files and directories, such as ["alembic"]"#,
);
const DIRECTORY: Key = Key::part(
    "provision.migrations.directory",
    "migrations",
    r#"the directory to run the command in, such as "backend""#,
);
const URL_VARIABLE: Key = Key::part(
    "provision.migrations.url_variable",
    "migrations",
    r#"the name of the variable that holds the database's URL, such as "DATABASE_URL""#,
);
const LATEST: Key = Key::part(
    "provision.migrations.latest",
    "migrations",
    r#"the revision that {revision} stands for when everything is applied, such as "head""#,
);

/// The default directory of migrations, if it exists.
pub(super) fn default_migrations(environment: &Environment) -> Sourced<Option<Migrations>> {
    let dir = environment.package_root().join(DEFAULT_MIGRATIONS_DIR);
    Sourced::by_default(dir.is_dir().then(|| dir.into()))
}

/// The default directory of seeds, if it exists.
pub(super) fn default_seeds(environment: &Environment) -> Sourced<Option<PathBuf>> {
    let dir = environment.package_root().join(DEFAULT_SEEDS_DIR);
    Sourced::by_default(Some(dir).filter(|dir| dir.is_dir()))
}

/// `None`: apply no migrations. In the plan, every path in the migrations is absolute and exists.
impl KeyType for Migrations {
    type Value = Option<Migrations>;

    fn from_variable(variable: Variable) -> Result<Sourced<Self::Value>> {
        Ok(variable.path().map(Migrations::from_variable))
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, dir: &Path) -> Result<Sourced<Self::Value>> {
        let migrations = match entry.value() {
            DeValue::Boolean(false) => None,
            DeValue::String(_) => Some(entry.path_below(key, dir)?.value.into()),
            DeValue::Table(_) => Some(layout_or_command(key, entry, dir)?.into()),
            DeValue::Array(_) => Some(several(key, entry, dir)?),
            _ => return Err(entry.type_error("a directory, false, a table or an array", key.legal)),
        };
        Ok(Sourced::new(migrations, entry.source()))
    }

    fn resolve(
        key: &'static Key,
        value: Sourced<Self::Value>,
        root: &Path,
    ) -> Result<Sourced<Self::Value>> {
        let Sourced { value, source } = value;
        let Some(Migrations(sources)) = value else {
            return Ok(Sourced::new(None, source));
        };
        if sources.is_empty() {
            return Err(Error::new(
                ErrorKind::MigrationSource,
                format!(
                    "a list of migrations must have at least one source, but has none ({source})"
                ),
            )
            .with_help("add a directory, or go without migrations: `without_migrations()`"));
        }
        let existing = |path| {
            existing_dir(
                key,
                root.join::<PathBuf>(path),
                &source,
                ErrorKind::MigrationSource,
            )
        };
        let resolved = |one| {
            Ok(match one {
                SchemaSource::Directory(path) => SchemaSource::Directory(existing(path)?),
                SchemaSource::Files(layout, path) => SchemaSource::Files(layout, existing(path)?),
                SchemaSource::Command(unchecked) => {
                    SchemaSource::Command(command(unchecked, root, &source)?)
                }
                SchemaSource::Function(function) => SchemaSource::Function(function),
            })
        };
        let sources = sources.into_iter().map(resolved).collect::<Result<_>>()?;
        Ok(Sourced::new(Some(Migrations(sources)), source))
    }

    fn print(value: &Self::Value, _absent: &str) -> String {
        let print = |source: &SchemaSource| match source {
            SchemaSource::Directory(path) => path.display().to_string(),
            SchemaSource::Files(layout, path) => format!("{} ({layout})", path.display()),
            SchemaSource::Command(command) => command.redacted(),
            SchemaSource::Function(function) => format!("the function {:?}", function.name()),
        };
        value.as_ref().map_or("none".to_owned(), |sources| {
            sources.0.iter().map(print).collect::<Vec<_>>().join(", ")
        })
    }
}

/// The directory of the seeds, or of the bootstrap. `None`: go without. In the plan it is absolute
/// and exists.
#[derive(Debug)]
pub(crate) enum ContentsDir {}

impl KeyType for ContentsDir {
    type Value = Option<PathBuf>;

    fn from_variable(variable: Variable) -> Result<Sourced<Self::Value>> {
        let none = Path::new("none");
        Ok(variable
            .path()
            .map(|path| Some(path).filter(|path| path != none)))
    }

    fn from_file(key: &'static Key, entry: &Entry<'_>, dir: &Path) -> Result<Sourced<Self::Value>> {
        match entry.value() {
            DeValue::Boolean(false) => Ok(Sourced::new(None, entry.source())),
            DeValue::String(_) => Ok(entry.path_below(key, dir)?.map(Some)),
            _ => Err(entry.type_error("a directory or false", key.legal)),
        }
    }

    fn resolve(
        key: &'static Key,
        value: Sourced<Self::Value>,
        root: &Path,
    ) -> Result<Sourced<Self::Value>> {
        let Sourced { value, source } = value;
        let kind = match key.name() {
            "seeds" => ErrorKind::Seed,
            _ => ErrorKind::MigrationSource,
        };
        let value = value
            .map(|path| existing_dir(key, root.join(path), &source, kind))
            .transpose()?;
        Ok(Sourced::new(value, source))
    }

    fn print(value: &Self::Value, _absent: &str) -> String {
        value
            .as_ref()
            .map_or("none".to_owned(), |path| path.display().to_string())
    }
}

/// The array's migrations: each item is a directory or a table.
fn several(key: &'static Key, entry: &Entry<'_>, dir: &Path) -> Result<Migrations> {
    let items = entry.items(key.legal)?;
    let source = |item: &Entry<'_>| match item.value() {
        DeValue::String(_) => Ok(item.path_below(key, dir)?.value.into()),
        DeValue::Table(_) => Ok(layout_or_command(key, item, dir)?.into()),
        _ => Err(item.type_error("a directory or a table", key.legal)),
    };
    items.iter().map(source).collect()
}

/// The table's migrations: a directory with its layout, or a command.
fn layout_or_command(key: &'static Key, entry: &Entry<'_>, dir: &Path) -> Result<SchemaSource> {
    let layouts: Vec<&str> = Layout::WORDS.iter().map(|(word, _)| *word).collect();
    let parts = entry.table(key.legal)?;
    let of_layout = |part: &&Entry<'_>| layouts.contains(&part.name);
    let Some(part) = parts.iter().find(of_layout) else {
        return command_of(entry, parts, &layouts, dir);
    };
    if let Some(other) = parts.iter().find(|other| other.name != part.name) {
        let message = format!(
            "provision.migrations must have one layout or one command, but has {} and {}",
            part.name, other.name
        );
        return Err(entry.error(message).with_help("remove one of the two keys"));
    }
    let (_, layout) = Layout::WORDS
        .iter()
        .find(|(word, _)| *word == part.name)
        .expect("the part's name is a layout's word");
    Ok(SchemaSource::Files(
        *layout,
        part.path_below(key, dir)?.value,
    ))
}

/// The table's migrations, if it has no layout.
fn command_of(
    entry: &Entry<'_>,
    parts: Vec<Entry<'_>>,
    layouts: &[&str],
    dir: &Path,
) -> Result<SchemaSource> {
    let mut command = MigrationCommand::new(Vec::<String>::new()).directory(dir);
    for part in parts {
        match part.name {
            "command" => command.command = part.list(&COMMAND)?,
            "inputs" => {
                command.inputs = part
                    .list(&INPUTS)?
                    .iter()
                    .map(|input| dir.join(input))
                    .collect();
            }
            "directory" => command.directory = Some(part.path_below(&DIRECTORY, dir)?.value),
            "url_variable" => command.url_variable = part.text(&URL_VARIABLE)?.not_blank()?.value,
            "latest" => command.latest = Some(part.text(&LATEST)?.not_blank()?.value),
            _ => {
                let of_commands =
                    [&COMMAND, &INPUTS, &DIRECTORY, &URL_VARIABLE, &LATEST].map(Key::name);
                return Err(part.unknown_key(&[&of_commands[..], layouts].concat()));
            }
        }
    }
    if command
        .command
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        return Err(entry
            .error("provision.migrations must have a command with a program, but has none")
            .with_help(format!("set command to {}", COMMAND.legal)));
    }
    // Without inputs a changed migration would not change the fingerprint.
    if command.inputs.is_empty() {
        return Err(entry
            .error("provision.migrations must have inputs beside a command, but has none")
            .with_help(
                "list the files and directories that determine what the command does, \
                 for example inputs = [\"alembic\"]",
            ));
    }
    Ok(SchemaSource::Command(command))
}

/// The error of a command that has only one of `{revision}` and `latest`.
fn revision_or_latest(command: &MigrationCommand, source: &Source) -> Error {
    let line = command.redacted();
    let (message, help) = if command.latest.is_some() {
        (
            format!(
                "a migration command with `latest` must have {{revision}} among its arguments, but \
                 {line} has none ({source})"
            ),
            "write {revision} instead of the revision, for example command = [\"alembic\", \
             \"upgrade\", \"{revision}\"], or remove `latest`",
        )
    } else {
        (
            format!(
                "a migration command with {{revision}} must have `latest`, but {line} has none \
                 ({source})"
            ),
            "add the revision that applies everything, for example latest = \"head\" in the file or \
             `.latest(\"head\")` in code",
        )
    };
    Error::new(ErrorKind::MigrationSource, message).with_help(help)
}

/// The command with absolute paths.
///
/// # Errors
///
/// The command has no program or no inputs, its `url_variable` is no name, it has only one of
/// `{revision}` and `latest`, or a path does not exist.
fn command(unchecked: MigrationCommand, root: &Path, source: &Source) -> Result<MigrationCommand> {
    let error = |message: String, help: &str| {
        Error::new(ErrorKind::MigrationSource, message).with_help(help)
    };
    if unchecked
        .command
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        return Err(error(
            format!("a migration command must have a program, but has none ({source})"),
            "pass a program and its arguments, for example [\"alembic\", \"upgrade\", \"head\"]",
        ));
    }
    // Without inputs a changed migration would not change the fingerprint, and tests would use an
    // old template.
    if unchecked.inputs.is_empty() {
        let help = "add the files and directories that determine what the command does, \
                    for example `.input(\"alembic\")`";
        return Err(error(
            format!(
                "a migration command must have inputs, but {} has none ({source})",
                unchecked.redacted()
            ),
            help,
        ));
    }
    let name = &unchecked.url_variable;
    let first = name.chars().next().unwrap_or('0');
    if first.is_ascii_digit() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let message = format!(
            "url_variable must be a variable's name (letters, digits and _), \
             but is {name:?} ({source})"
        );
        return Err(error(
            message,
            "begin the name with a letter or _, for example DATABASE_URL",
        ));
    }
    if unchecked.takes_revision() != unchecked.latest.is_some() {
        return Err(revision_or_latest(&unchecked, source));
    }
    let inputs: Vec<PathBuf> = unchecked
        .inputs
        .iter()
        .map(|input| root.join(input))
        .collect();
    if let Some(missing) = inputs.iter().find(|input| !input.exists()) {
        let message = format!(
            "every input of a migration command must exist, but {} does not ({source})",
            missing.display()
        );
        return Err(error(
            message,
            "create it, or correct the path, which is relative to ebbtide.toml, \
             or to the package if code sets it",
        ));
    }
    let directory = root.join(unchecked.directory.unwrap_or_default());
    if !directory.is_dir() {
        let message = format!(
            "the directory of a migration command must exist, but there is none at {} ({source})",
            directory.display()
        );
        return Err(error(
            message,
            "create it, or correct the path, which is relative to ebbtide.toml, \
             or to the package if code sets it",
        ));
    }
    Ok(MigrationCommand {
        inputs,
        directory: Some(directory),
        ..unchecked
    })
}

/// The path, if it is a directory.
fn existing_dir(key: &Key, path: PathBuf, source: &Source, kind: ErrorKind) -> Result<PathBuf> {
    if path.is_dir() {
        return Ok(path);
    }
    let noun = key.name();
    let (rule, fault) = if path.exists() {
        ("be a directory", "is not")
    } else {
        ("exist", "does not")
    };
    let without = match source {
        Source::Variable(name) | Source::DotEnv(name) => format!("set {name}=none to go without"),
        Source::File { .. } => format!("write {noun} = false to go without"),
        Source::Builder | Source::Attribute | Source::Several(_) | Source::Default => {
            format!("call without_{noun}() to go without")
        }
    };
    let message = format!(
        "the {noun} directory must {rule}, but {} {fault} ({source})",
        path.display()
    );
    Err(Error::new(kind, message).with_help(format!("create it, correct the path, or {without}")))
}
