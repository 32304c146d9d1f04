//! The fingerprint over the inputs of a database.

use super::format::FORMAT;
use super::inputs::{Inputs, MigrationSource};
use super::migrate::tool::DirectoryTool;
use super::migrate::tools;
use crate::config::{Layout, Plan};
use crate::guard;
use crate::names::{Fingerprint, PartsHash};

impl MigrationSource {
    /// The tool whose format ebbtide follows when it applies the migrations. `None` if there are no
    /// migrations, or if a command or a function applies them.
    pub(super) fn tool(&self) -> Option<&'static DirectoryTool> {
        match self {
            Self::Files(layout, _) => Some(tools::of(*layout)),
            Self::Embedded(_) => Some(tools::of(Layout::Sqlx)),
            Self::None | Self::Command(_) | Self::Function(_) => None,
        }
    }
}

impl Inputs {
    /// The fingerprint of a template that is built from another template by fixtures and
    /// expectations.
    pub(crate) fn layered_fingerprint(&self, plan: &Plan, base: &Fingerprint) -> Fingerprint {
        let mut hash = PartsHash::default();
        hash.part("base", base.as_str());
        plan.expect.hash_into(&mut hash);
        hash.list("fixtures", self.seeds.iter().map(|fixture| fixture.hash));
        Fingerprint::from_hash(&hash.finish())
    }

    /// The fingerprint of the database that these inputs make. Equal fingerprints mean equal
    /// databases.
    ///
    /// `role` is given on a server with several roles. A database belongs to the role that created
    /// it, so each role has a template of its own.
    pub(crate) fn fingerprint(
        &self,
        plan: &Plan,
        server_version_num: u32,
        role: Option<&str>,
    ) -> Fingerprint {
        let mut hash = PartsHash::default();
        hash.part("ebbtide", env!("CARGO_PKG_VERSION"));
        hash.part("format", FORMAT.to_string());
        hash.part("guard", guard::SOURCES_HASH.to_le_bytes());
        hash.part("server", server_version_num.to_string());
        hash.list("extensions", plan.extensions.get());
        hash.list("settings", plan.settings.keys());
        hash.list("values", plan.settings.values());
        plan.expect.hash_into(&mut hash);
        hash.list("role", role.as_slice());
        match &self.source {
            // The names and contents of the files are hashed below.
            MigrationSource::None | MigrationSource::Embedded(_) | MigrationSource::Files(..) => {
                if let Some(text) = self.source.tool().and_then(|tool| tool.fingerprint_part) {
                    hash.part("tool", text);
                }
            }
            MigrationSource::Command(command) => {
                hash.list("command", &command.command);
                hash.part("url variable", &command.url_variable);
            }
            MigrationSource::Function(function) => hash.part("function", function.name()),
        }
        for (kind, files) in [("migration", &self.migrations), ("seed", &self.seeds)] {
            hash.part("files", files.len().to_string());
            for file in files {
                hash.part(kind, &file.id);
                hash.part("hash", file.hash);
            }
        }
        Fingerprint::from_hash(&hash.finish())
    }
}
