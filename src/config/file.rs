//! `ebbtide.toml`: where it is, and the values that it sets.

use std::path::{Path, PathBuf};

use super::document::Document;
use super::env::Environment;
use super::key;
use super::keys::Layer;
use super::named_plan::NamedPlans;
use super::section;
use super::source::{Source, Sourced};
use crate::error::{Error, ErrorKind, Result};

const NAME: &str = "ebbtide.toml";
const PLANS: &str = "plan";
const SECTIONS: [&str; 4] = ["server", "provision", "test", PLANS];

/// The configuration file's path and values. Without a file, `path` is `None` and the layer is
/// empty.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: Sourced<Option<PathBuf>>,
    pub(super) layer: Layer,
    pub(super) plans: NamedPlans,
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
            None => environment.project().nearest(NAME).map(Sourced::by_default),
        };
        let Some(found) = found else {
            return Ok(Self {
                path: Sourced::by_default(None),
                layer: Layer::default(),
                plans: NamedPlans::default(),
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
        let (layer, plans) = parse(display_path, found.parent().unwrap_or(&root), &text)?;
        Ok(Self {
            path: found.map(Some),
            layer,
            plans,
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

/// The values in the text of a file: those of the default plan, and the named plans. Relative paths
/// in it are relative to `dir`.
pub(super) fn parse(display_path: &Path, dir: &Path, text: &str) -> Result<(Layer, NamedPlans)> {
    let document = Document {
        display_path,
        text,
        plan: None,
    };
    let table = document.parse()?;
    let (mut layer, mut plans) = (Layer::default(), NamedPlans::default());
    for section in document.entries("", table.get_ref()) {
        if section.name == PLANS {
            for plan in section.table("a table of plans, as in [plan.audit.provision]")? {
                plans.read(plan, dir)?;
            }
        } else if SECTIONS.contains(&section.name) {
            section::read(&section, dir, &mut layer)?;
        } else {
            return Err(section::misplaced(&section, &SECTIONS, ""));
        }
    }
    Ok((layer, plans))
}
