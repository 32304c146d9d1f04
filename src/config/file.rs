//! `ebbtide.toml`: where it is, and the values that it sets.

use std::path::{Path, PathBuf};

use super::document::{Document, Entry};
use super::env::Environment;
use super::key::{self, Key};
use super::keys::{KEYS, Layer};
use super::project::Project;
use super::source::{Source, Sourced};
use crate::error::{Error, ErrorKind, Result};

const NAME: &str = "ebbtide.toml";
const SECTIONS: [&str; 3] = ["server", "provision", "test"];

/// The configuration file's path and values. Without a file, `path` is `None` and the layer is
/// empty.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: Sourced<Option<PathBuf>>,
    pub(super) layer: Layer,
}

impl ConfigFile {
    /// Reads the file that `EBBTIDE_CONFIG` or the builder names. Otherwise reads the nearest
    /// `ebbtide.toml`, from the package's directory up to the root of the workspace or repository.
    ///
    /// # Errors
    ///
    /// The named file does not exist, the file cannot be read, or a value in it is illegal.
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
        let display_path = found.strip_prefix(root.get()).unwrap_or(&found);
        let layer = parse(display_path, found.parent().unwrap_or(&root), &text)?;
        Ok(Self {
            path: found.map(Some),
            layer,
        })
    }
}

/// The absolute path of a file that the user has named.
fn existing(root: &Path, named: Sourced<PathBuf>) -> Result<Sourced<PathBuf>> {
    let path = root.join(named.get());
    if path.is_file() {
        return Ok(Sourced::new(path, named.source));
    }
    let subject = match &named.source {
        Source::Builder => "the argument of Builder::config_file",
        _ => key::CONFIG,
    };
    let message = format!(
        "{subject} must be the path of a file, but there is no file at {}",
        path.display()
    );
    Err(Error::new(ErrorKind::Config, message).with_help(format!(
        "create the file, correct the path, or remove {} and `config_file`: \
         ebbtide then uses the nearest {NAME}",
        key::CONFIG
    )))
}

/// The values in the text of a file. Relative paths in it are relative to `dir`.
pub(super) fn parse(display_path: &Path, dir: &Path, text: &str) -> Result<Layer> {
    let document = Document { display_path, text };
    let table = document.parse()?;
    let mut layer = Layer::default();
    for section in document.entries("", table.get_ref()) {
        if !SECTIONS.contains(&section.name) {
            return Err(misplaced(&section));
        }
        let legal = format!("a table of keys, as in [{}]", section.name);
        for entry in section.table(&legal)? {
            if !layer.set(&entry, dir)? {
                let of_section = KEYS.all().filter(|key| key.section() == section.name);
                return Err(entry.unknown_key(&of_section.map(Key::name).collect::<Vec<_>>()));
            }
        }
    }
    Ok(layer)
}

/// The error of a key outside the sections. If a section has this key, the help names the section.
fn misplaced(entry: &Entry<'_>) -> Error {
    let error = entry.unknown_key(&SECTIONS);
    match KEYS.all().find(|key| key.name() == entry.name) {
        Some(key) => error.with_help(format!("move {} below [{}]", key.name(), key.section())),
        None => error,
    }
}
