//! Copies of the Alembic project, which tests may change.

use std::path::Path;
use std::process::Command;

use ebbtide::Harness;

use ebbtide::config::{Builder, MigrationCommand};

use crate::support::Scratch;
use crate::support::skip::skip;

/// A copy of `tests/alembic`, and the program `alembic`.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) scratch: Scratch,
    alembic: String,
}

impl Project {
    /// A new copy, or `None` if this machine lacks Alembic: then the test is skipped.
    #[track_caller]
    pub(crate) fn copied() -> Option<Self> {
        let Some(alembic) = alembic() else {
            skip(
                "alembic",
                "there is no Alembic, neither in EBBTIDE_TEST_ALEMBIC nor in PATH",
            );
            return None;
        };
        let scratch = Scratch::new();
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alembic");
        for dir in ["", "versions"] {
            for entry in std::fs::read_dir(original.join(dir))
                .unwrap()
                .flatten()
                .filter(|entry| entry.path().is_file())
            {
                let name = Path::new("alembic").join(dir).join(entry.file_name());
                scratch.write(
                    name.to_str().unwrap(),
                    &std::fs::read_to_string(entry.path()).unwrap(),
                );
            }
        }
        Some(Self { scratch, alembic })
    }

    /// A builder that migrates with Alembic and these arguments.
    pub(crate) fn builder(&self, arguments: &[&str]) -> Builder {
        let command = std::iter::once(self.alembic.as_str()).chain(arguments.iter().copied());
        let command = MigrationCommand::new(command)
            .input(self.scratch.path("alembic"))
            .directory(self.scratch.path("alembic"));
        self.scratch.builder().migrations(command)
    }

    /// A builder whose command takes a revision.
    pub(crate) fn builder_with_revision(&self) -> Builder {
        let command = MigrationCommand::new([&*self.alembic, "upgrade", "{revision}"])
            .latest("head")
            .input(self.scratch.path("alembic"))
            .directory(self.scratch.path("alembic"));
        self.scratch.builder().migrations(command)
    }

    pub(crate) fn upgrade(&self) -> Harness {
        self.builder(&["upgrade", "head"]).build().unwrap()
    }

    /// Replaces a text in a revision's file.
    pub(crate) fn edit(&self, revision: &str, from: &str, to: &str) {
        let path = self.scratch.path("alembic/versions").join(revision);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{revision} lacks {from:?}: {text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// The Alembic program, if it runs.
fn alembic() -> Option<String> {
    let named = std::env::var("EBBTIDE_TEST_ALEMBIC")
        .ok()
        .filter(|path| !path.is_empty());
    let program = named.unwrap_or_else(|| "alembic".to_owned());
    Command::new(&program)
        .arg("--version")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(program)
}
