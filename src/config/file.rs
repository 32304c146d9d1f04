//! `ebbtide.toml`: finding it, and what it says.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::document::{Document, Entry};
use super::env::Environment;
use super::expect::Expect;
use super::given::check_setting;
use super::key::{self, Key};
use super::layer::Layer;
use super::migrations::{Layout, MigrationCommand, Migrations};
use super::project::Project;
use super::source::{Source, Sourced};
use super::value::{Choice as _, without_repeats};
use crate::error::{Error, ErrorKind, Result};

const NAME: &str = "ebbtide.toml";

/// The file and what it says; `path` is `None` when there is no file.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: Sourced<Option<PathBuf>>,
    pub(super) layer: Layer,
}

impl ConfigFile {
    /// Reads the file that `EBBTIDE_CONFIG` or the builder names, else the nearest `ebbtide.toml` from the package up to
    /// the root of its workspace.
    pub(super) fn read(environment: &Environment, named: Option<&Path>) -> Result<Self> {
        let root = environment.package_root();
        let named = named.map(|path| Sourced::new(path.to_owned(), Source::Builder));
        let found = match environment.path(key::CONFIG).or(named) {
            Some(named) => Some(existing(&root, named)?),
            None => Project::around(&root)
                .nearest(NAME)
                .map(Sourced::by_default),
        };
        let Some(found) = found else {
            return Ok(Self {
                path: Sourced::by_default(None),
                layer: Layer::default(),
            });
        };
        let text = std::fs::read_to_string(found.get()).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("{} cannot be read", found.display()),
            )
            .with_source(error)
            .with_help("make it a readable file of UTF-8 text")
        })?;
        let shown = found.strip_prefix(root.get()).unwrap_or(&found);
        let layer = parse(shown, found.parent().unwrap_or(&root), &text)?;
        Ok(Self {
            path: found.map(Some),
            layer,
        })
    }
}

fn existing(root: &Path, named: Sourced<PathBuf>) -> Result<Sourced<PathBuf>> {
    let path = root.join(named.get());
    if path.is_file() {
        return Ok(Sourced::new(path, named.source));
    }
    let label = match &named.source {
        Source::Builder => format!("Builder::config_file({:?})", named.to_string_lossy()),
        _ => format!("{}={:?}", key::CONFIG, named.to_string_lossy()),
    };
    let message = format!("{label} is not a file: there is none at {}", path.display());
    Err(Error::new(ErrorKind::Config, message).with_help(format!(
        "create it, or do not name it ({} or `config_file`)",
        key::CONFIG
    )))
}

/// What the text of a file says. Relative paths in it are relative to `directory`.
pub(super) fn parse(shown: &Path, dir: &Path, text: &str) -> Result<Layer> {
    let document = Document { shown, text };
    let table = document.parse()?;
    let mut layer = Layer::default();
    for section in document.entries("", table.get_ref()) {
        match section.name {
            "server" => server(
                &mut layer,
                dir,
                section.table("a table of keys, as in [server]")?,
            )?,
            "provision" => provision(
                &mut layer,
                dir,
                section.table("a table of keys, as in [provision]")?,
            )?,
            name => return Err(misplaced(&section, name)),
        }
    }
    Ok(layer)
}

fn server(layer: &mut Layer, dir: &Path, entries: Vec<Entry<'_>>) -> Result<()> {
    for entry in entries {
        match entry.name {
            "backend" => layer.backend = Some(entry.text(&key::BACKEND)?.choice()?),
            "postgres" => layer.postgres = Some(entry.text_or_integer(&key::POSTGRES)?.major()?),
            "image" => layer.image = Some(entry.text(&key::IMAGE)?.words()?),
            "url" => layer.url = Some(entry.text(&key::URL)?.url()?),
            "allow_remote" => {
                layer.allow_remote = Some(Sourced::new(
                    entry.flag(&key::ALLOW_REMOTE)?,
                    entry.source(),
                ));
            }
            "linger" => layer.linger = Some(entry.text(&key::LINGER)?.duration()?),
            "keep" => layer.keep = Some(entry.text(&key::KEEP)?.choice()?),
            "log_plans_slower_than" => {
                layer.log_plans_slower_than =
                    Some(entry.text(&key::LOG_PLANS_SLOWER_THAN)?.duration()?)
            }
            "keep_for" => layer.keep_for = Some(entry.text(&key::KEEP_FOR)?.duration()?),
            "storage" => layer.storage = Some(entry.text(&key::STORAGE)?.choice()?),
            "cache" => layer.cache = Some(entry.text(&key::CACHE)?.choice()?),
            "dedicated" => layer.dedicated = Some(entry.text(&key::DEDICATED)?.choice()?),
            "settings" => {
                for setting in entry.table(key::SETTINGS.legal)? {
                    let (name, value) = (setting.name.to_ascii_lowercase(), setting.scalar()?);
                    check_setting(&key::SETTINGS, &setting.source(), &name, &value)?;
                    layer
                        .settings
                        .insert(name, Sourced::new(value, setting.source()));
                }
            }
            "bin" => layer.bin = Some(path(dir, &key::BIN, &entry)?),
            "state_dir" => layer.state_dir = Some(path(dir, &key::STATE_DIR, &entry)?),
            "start_timeout" => {
                layer.start_timeout = Some(entry.text(&key::START_TIMEOUT)?.limit()?)
            }
            _ => return Err(entry.unknown(&names(key::SERVER))),
        }
    }
    Ok(())
}

fn provision(layer: &mut Layer, dir: &Path, entries: Vec<Entry<'_>>) -> Result<()> {
    for entry in entries {
        match entry.name {
            "extensions" => {
                let names = without_repeats(entry.list(&key::EXTENSIONS)?);
                layer.extensions = Some(Sourced::new(names, entry.source()));
            }
            "migrations" => {
                layer.migrations = Some(Sourced::new(migrations(dir, &entry)?, entry.source()))
            }
            "seeds" => layer.seeds = Some(seeds(dir, &entry)?),
            "timeout" => layer.provision_timeout = Some(entry.text(&key::TIMEOUT)?.limit()?),
            "expect" => layer.expect = Some(Sourced::new(expect(&entry)?, entry.source())),
            _ => return Err(entry.unknown(&names(key::PROVISION))),
        }
    }
    Ok(())
}

fn migrations(dir: &Path, entry: &Entry<'_>) -> Result<Migrations> {
    match entry.value() {
        DeValue::Boolean(false) => Ok(Migrations::None),
        DeValue::String(_) => Ok(Migrations::Directory(
            path(dir, &key::MIGRATIONS, entry)?.value,
        )),
        DeValue::Table(_) => named(dir, entry),
        _ => Err(entry.is_not("a directory, false or a table", key::MIGRATIONS.legal)),
    }
}

/// A directory with its layout, or a command.
fn named(dir: &Path, entry: &Entry<'_>) -> Result<Migrations> {
    let layouts: Vec<&str> = Layout::WORDS.iter().map(|(word, _)| *word).collect();
    let parts = entry.table(key::MIGRATIONS.legal)?;
    let of_layout = |part: &&Entry<'_>| layouts.contains(&part.name);
    let Some(part) = parts.iter().find(of_layout) else {
        return command(dir, entry, parts, &layouts);
    };
    if let Some(other) = parts.iter().find(|other| other.name != part.name) {
        let message = format!(
            "provision.migrations has both {} and {}",
            part.name, other.name
        );
        return Err(entry
            .error(message)
            .with_help("name one directory with one layout, or one command"));
    }
    let (_, layout) = Layout::WORDS
        .iter()
        .find(|(word, _)| *word == part.name)
        .expect("a layout's word");
    Ok(Migrations::Files(
        *layout,
        path(dir, &key::MIGRATIONS, part)?.value,
    ))
}

fn command(
    dir: &Path,
    entry: &Entry<'_>,
    parts: Vec<Entry<'_>>,
    layouts: &[&str],
) -> Result<Migrations> {
    let mut said = MigrationCommand::new(Vec::<String>::new()).directory(dir);
    for part in parts {
        match part.name {
            "command" => said.command = part.list(&key::COMMAND)?,
            "inputs" => {
                said.inputs = part
                    .list(&key::INPUTS)?
                    .iter()
                    .map(|input| dir.join(input))
                    .collect()
            }
            "directory" => said.directory = Some(path(dir, &key::DIRECTORY, &part)?.value),
            "url_variable" => said.url_variable = part.text(&key::URL_VARIABLE)?.words()?.value,
            _ => {
                let of_commands = names(&[
                    &key::COMMAND,
                    &key::INPUTS,
                    &key::DIRECTORY,
                    &key::URL_VARIABLE,
                ]);
                return Err(part.unknown(&[&of_commands, layouts].concat()));
            }
        }
    }
    if said
        .command
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        return Err(entry
            .error("provision.migrations names no command")
            .with_help(format!("name {} as command", key::COMMAND.legal)));
    }
    if said.inputs.is_empty() {
        return Err(entry
            .error("provision.migrations has a command and no inputs")
            .with_help(
                r#"name the files and directories that decide its outcome, as in inputs = ["alembic"]"#,
            ));
    }
    Ok(Migrations::Command(said))
}

fn seeds(dir: &Path, entry: &Entry<'_>) -> Result<Sourced<Option<PathBuf>>> {
    match entry.value() {
        DeValue::Boolean(false) => Ok(Sourced::new(None, entry.source())),
        DeValue::String(_) => Ok(path(dir, &key::SEEDS, entry)?.map(Some)),
        _ => Err(entry.is_not("a directory or false", key::SEEDS.legal)),
    }
}

fn expect(entry: &Entry<'_>) -> Result<Expect> {
    let mut expect = Expect::default();
    for part in entry.table(key::EXPECT.legal)? {
        match part.name {
            "tables" => expect.tables = without_repeats(part.list(&key::TABLES)?),
            "rows" => expect.rows = part.counts(&key::ROWS)?,
            "enums" => expect.enums = part.lists(&key::ENUMS)?,
            _ => return Err(part.unknown(&names(&[&key::TABLES, &key::ROWS, &key::ENUMS]))),
        }
    }
    Ok(expect)
}

fn path(dir: &Path, key: &'static Key, entry: &Entry<'_>) -> Result<Sourced<PathBuf>> {
    Ok(entry.text(key)?.words()?.map(|text| dir.join(text)))
}

fn names(keys: &[&Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name()).collect()
}

/// A key at the top of the file that is no section; perhaps it belongs into one.
fn misplaced(entry: &Entry<'_>, name: &str) -> Error {
    let belongs = key::SERVER
        .iter()
        .chain(key::PROVISION)
        .find(|key| key.name() == name);
    let error = entry.unknown(&["server", "provision"]);
    match belongs.and_then(|key| key.path.split_once('.')) {
        Some((section, name)) => error.with_help(format!("put {name} below [{section}]")),
        None => error,
    }
}
