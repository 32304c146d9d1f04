//! The fingerprint over the inputs of a database.

use sha2::{Digest as _, Sha384};
use sqlx::migrate::Migrator;

use super::format::FORMAT;
use super::input_file::InputFile;
use super::inputs::{Inputs, MigrationInputs, MigrationSource};
use super::migrate::tool::DirectoryTool;
use super::migrate::tools;
use crate::config::{Layout, Plan, SqlxToml};
use crate::guard;
use crate::names::{Fingerprint, PartsHash};

impl MigrationSource {
    /// The tool whose format ebbtide follows when it applies the migrations. `None` if a command or a
    /// function applies them.
    pub(super) fn tool(&self) -> Option<&'static DirectoryTool> {
        match self {
            Self::Files(layout, _) => Some(tools::of(*layout)),
            Self::Embedded(_) => Some(tools::of(Layout::Sqlx)),
            Self::Command(_) | Self::Function(_) => None,
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

    /// The hash of the sources and of the seeds: their files' names and contents, and what else
    /// decides how they are applied.
    pub(super) fn contents_hash(&self) -> ContentsHash {
        let mut hash = PartsHash::default();
        for (kind, sources) in [
            ("bootstrap", self.bootstrap.as_slice()),
            ("migration", &self.migrations),
        ] {
            hash.part("sources", sources.len().to_string());
            for source in sources {
                source.hash_into(&mut hash, kind);
            }
        }
        hash_files(&mut hash, "seed", &self.seeds);
        ContentsHash(hash.finish())
    }
}

/// A hash of everything that [`Inputs`] hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentsHash(pub(super) [u8; 32]);

impl ContentsHash {
    /// The fingerprint of the database that these inputs make. Equal fingerprints mean equal
    /// databases.
    ///
    /// `role` is given on a server with several roles. A database belongs to the role that created
    /// it, so each role has a template of its own.
    pub(super) fn fingerprint(
        self,
        plan: &Plan,
        server_version_num: u32,
        role: Option<&str>,
    ) -> Fingerprint {
        let mut hash = PartsHash::default();
        hash.part("ebbtide", env!("CARGO_PKG_VERSION"));
        hash.part("format", FORMAT.to_string());
        hash.part("guard", guard::SOURCES_HASH.to_le_bytes());
        hash.part("server", server_version_num.to_string());
        let extensions = plan.extensions.get();
        let all = || extensions.iter();
        hash.list("extensions", all().map(|extension| &extension.name));
        // A missing value is a list of its own: it must not equal an empty text.
        for extension in all() {
            hash.list("schema", extension.schema.as_slice());
            hash.list("version", extension.version.as_slice());
            hash.part("cascade", extension.has_cascade.to_string());
        }
        hash.list("locale", plan.locale.as_slice());
        hash.list("encoding", plan.encoding.as_slice());
        hash.part("locale provider", plan.locale_provider.to_string());
        hash.list("settings", plan.settings.keys());
        hash.list("values", plan.settings.values());
        plan.expect.hash_into(&mut hash);
        plan.ignore_missing_tables.hash_into(&mut hash);
        hash.list("role", role.as_slice());
        hash.list("owner", plan.owner.as_slice());
        hash.part("roles", plan.roles.len().to_string());
        for role in plan.roles.get() {
            role.hash_into(&mut hash);
        }
        hash.part("contents", self.0);
        Fingerprint::from_hash(&hash.finish())
    }
}

impl MigrationInputs {
    fn hash_into(&self, hash: &mut PartsHash, kind: &'static str) {
        self.sqlx.hash_into(hash);
        if let MigrationSource::Embedded(migrator) = &self.source {
            hash_migrator(migrator, hash);
        }
        match &self.source {
            // The names and contents of the files are hashed below.
            MigrationSource::Embedded(_) | MigrationSource::Files(..) => {
                if let Some(text) = self.source.tool().and_then(|tool| tool.fingerprint_part) {
                    hash.part("tool", text);
                }
            }
            MigrationSource::Command(command) => {
                hash.list("command", &command.command);
                hash.part("url variable", &command.url_variable);
                if command.takes_revision() {
                    let revision = self.part.revision.as_ref().or(command.latest.as_ref());
                    hash.list("revision", revision.as_slice());
                }
            }
            MigrationSource::Function(function) => hash.part("function", function.name()),
        }
        // It decides the type and the checksums of refinery's ledger.
        if self.part.has_wide_version_later {
            hash.part("later versions", "wide");
        }
        // A new entry is reported while a template is built, so it makes a new one.
        hash.list("not applied", &self.not_applied);
        hash_files(hash, kind, &self.files);
    }
}

fn hash_files(hash: &mut PartsHash, kind: &'static str, files: &[InputFile]) {
    hash.part("files", files.len().to_string());
    for file in files {
        hash.part(kind, &file.id);
        hash.part("hash", file.hash);
    }
}

/// Adds what a migrator has beside the names and the SQL of its migrations. A migrator with sqlx's
/// defaults adds nothing, so that the directory that it embeds has the same fingerprint.
fn hash_migrator(migrator: &Migrator, hash: &mut PartsHash) {
    let defaults = Migrator::DEFAULT;
    SqlxToml {
        table_name: (migrator.table_name != defaults.table_name)
            .then(|| migrator.table_name.to_string()),
        create_schemas: migrator
            .create_schemas
            .iter()
            .map(ToString::to_string)
            .collect(),
        ..SqlxToml::default()
    }
    .hash_into(hash);
    // The build verifies less of a migrator that ignores missing migrations.
    if migrator.ignore_missing {
        hash.part("sqlx ignores", "missing");
    }
    for migration in migrator.iter() {
        let sql = migration.sql.as_str();
        // Characters that sqlx ignores change the checksum in the ledger.
        if migration.checksum[..] != Sha384::digest(sql)[..] {
            hash.part("sqlx checksum", &migration.checksum);
        }
        if migration.no_tx != sql.starts_with("-- no-transaction") {
            hash.part("sqlx no_tx", migration.version.to_string());
        }
    }
}
