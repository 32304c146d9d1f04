//! The named plans of `ebbtide.toml`: `[plan.audit.server]`, `[plan.audit.provision]`.
//!
//! ```text
//!  [server] -------- inherited ---------> server of plan audit <---- [plan.audit.server]
//!  roles, owner, [test] --- inherited --> roles of plan audit <----- [plan.audit.provision], [.test]
//!  other contents (the default plan only) contents of plan audit <-- [plan.audit.provision]
//! ```
//!
//! One test usually needs its databases on one server, so the server is inherited, and so are the
//! roles, which belong to the server. Contents are not: two plans with the same contents would be
//! one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::Entry;
use super::keys::Layer;
use super::nearest::nearest;
use super::section;
use super::source::{Source, Sourced};
use super::value::Backend;
use crate::error::{Error, ErrorKind, Result};

/// What a plan's sections are called.
pub(super) const SECTIONS: [&str; 3] = ["server", "provision", "test"];

/// The named plans of a file.
#[derive(Debug, Default)]
pub(super) struct NamedPlans(BTreeMap<String, NamedPlan>);

/// The values in the sections of one plan.
#[derive(Debug, Clone)]
pub(super) struct NamedPlan {
    pub(super) name: Sourced<String>,
    pub(super) layer: Layer,
}

impl NamedPlans {
    /// Reads the sections of one plan, whose name is the entry's.
    ///
    /// # Errors
    /// The name is none, a key is unknown, or a value is illegal.
    pub(super) fn read(&mut self, plan: Entry<'_>, dir: &Path) -> Result<()> {
        let plan = plan.of_plan();
        check_name(&plan)?;
        let mut layer = Layer::default();
        let legal = format!("a table of sections, as in [plan.{}.provision]", plan.name);
        for entry in plan.table(&legal)? {
            if !SECTIONS.contains(&entry.name) {
                let place = format!("plan.{}.", plan.name);
                return Err(section::misplaced(&entry, &SECTIONS, &place));
            }
            section::read(&entry, dir, &mut layer)?;
        }
        let name = Sourced::new(plan.name.to_owned(), plan.source());
        self.0
            .insert(plan.name.to_owned(), NamedPlan { name, layer });
        Ok(())
    }

    /// The plan of this name.
    ///
    /// # Errors
    /// The file has no such plan.
    pub(super) fn get(&self, name: &str, file: Option<&PathBuf>) -> Result<NamedPlan> {
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| self.unknown(name, file))
    }

    fn unknown(&self, name: &str, file: Option<&PathBuf>) -> Error {
        let Some(file) = file else {
            let message = format!("there is no ebbtide.toml, so it has no plan {name:?}");
            return Error::new(ErrorKind::Config, message).with_help(
                "create ebbtide.toml beside the package's Cargo.toml, with the section \
                 [plan.NAME.provision]",
            );
        };
        let message = format!("{} has no plan {name:?}", file.display());
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let all = if names.is_empty() {
            "the file has no named plan: add the section [plan.NAME.provision]".to_owned()
        } else {
            format!("plans of the file: {}", names.join(", "))
        };
        Error::new(ErrorKind::Config, message).with_help(match nearest(name, names) {
            Some(closest) => format!("did you mean {closest}? {all}"),
            None => all,
        })
    }
}

/// The values of a source that every plan has unless it sets them itself.
pub(super) fn of_every_plan(source: Layer) -> Layer {
    let (roles, owner, test_role) = (
        source.roles.clone(),
        source.owner.clone(),
        source.test_role.clone(),
    );
    Layer {
        roles,
        owner,
        test_role,
        ..source.only("server")
    }
}

impl NamedPlan {
    /// The plan's values above those that it inherits from the file's own sections.
    pub(super) fn inheriting(self, of_file: Layer) -> Layer {
        let mut inherited = of_every_plan(of_file);
        // A URL selects the external backend, and a backend decides whether a URL counts. So a plan
        // that sets one of the two does not inherit the other.
        if self.layer.url.is_some() {
            inherited.backend = None;
        }
        let backend = self.layer.backend.as_deref();
        if backend.is_some_and(|backend| *backend != Backend::External) {
            inherited.url = None;
        }
        self.layer.over(inherited)
    }

    /// Sets the contents that no source sets. The defaults of the default plan are directories of
    /// the package, which do not belong to this plan.
    ///
    /// # Errors
    /// No source sets migrations: the database would be empty.
    pub(super) fn require_contents(&self, merged: &mut Layer) -> Result<()> {
        if merged.migrations.is_none() {
            let Sourced {
                value: name,
                source,
            } = &self.name;
            let message = format!(
                "{source}: plan {name} must set migrations, because the directory `migrations` \
                 belongs to the default plan"
            );
            return Err(Error::new(ErrorKind::Config, message).with_help(format!(
                "write migrations = \"DIRECTORY\" below [plan.{name}.provision], or \
                 migrations = false for a database without migrations"
            )));
        }
        merged
            .seeds
            .get_or_insert_with(|| Sourced::new(None, Source::Default));
        Ok(())
    }
}

/// Checks the name of a plan: letters, digits, `_` and `-`.
fn check_name(plan: &Entry<'_>) -> Result<()> {
    let name = plan.name;
    if SECTIONS.contains(&name) {
        let message = format!("[plan.{name}] must begin with the plan's name");
        return Err(plan.error(message).with_help(format!(
            "write [plan.NAME.{name}], as in [plan.audit.{name}]"
        )));
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_legal) {
        return Ok(());
    }
    let message = format!(
        "the name of a plan must consist of ASCII letters, digits, _ and -, but is {name:?}"
    );
    Err(plan
        .error(message)
        .with_help("rename the plan, as in [plan.audit.provision]"))
}
