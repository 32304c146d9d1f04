//! The directory of the package under test: where `ebbtide.toml`, `migrations` and `seeds` are.
//!
//! ```text
//! Builder::package_root > CARGO_MANIFEST_DIR (set by cargo and nextest) > where the test was compiled
//! ```
//!
//! A debugger, or a shell that starts a copied executable, sets no variable. Their current directory
//! can be that of another project, so it does not count: the tests would get that project's
//! migrations, or an empty database.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::source::{Source, Sourced};
use crate::error::{Error, ErrorKind, Result};

pub(super) const MANIFEST_DIR: &str = "CARGO_MANIFEST_DIR";

/// The package that the attribute's tests were compiled in. All tests of an executable belong to one
/// package.
static COMPILED_IN: OnceLock<&str> = OnceLock::new();

/// Records the directory of the package in which the attribute was expanded, as Cargo set it.
pub(crate) fn record_compiled_in(dir: Option<&'static str>) {
    if let Some(dir) = dir {
        COMPILED_IN.get_or_init(|| dir);
    }
}

/// The package's directory from the strongest source.
///
/// # Errors
/// No source has one, or the directory does not exist on this machine.
pub(super) fn find(
    builder: Option<PathBuf>,
    variable: Option<PathBuf>,
) -> Result<Sourced<PathBuf>> {
    let compiled_in = COMPILED_IN.get().map(PathBuf::from);
    let found = [
        (builder, Source::Builder),
        (variable, Source::Variable(MANIFEST_DIR)),
        (compiled_in, Source::Attribute),
    ];
    let found = found
        .into_iter()
        .find_map(|(dir, source)| Some(Sourced::new(dir?, source)));
    match found {
        Some(dir) if dir.is_dir() => Ok(dir),
        Some(dir) => Err(absent(&dir, &dir.source)),
        None => Err(Error::new(
            ErrorKind::Config,
            "the directory of the package under test must be known, but cargo did not start this \
             process, and no test with #[ebbtide::test] has run in it",
        )
        .with_help(HELP)),
    }
}

const HELP: &str = "set CARGO_MANIFEST_DIR to the directory with the package's Cargo.toml, start the \
    tests with cargo, or call `Builder::package_root`";

fn absent(dir: &Path, source: &Source) -> Error {
    let message = format!(
        "the directory of the package under test must exist, but {} does not ({source})",
        dir.display()
    );
    Error::new(ErrorKind::Config, message).with_help(format!(
        "copy the package's ebbtide.toml, migrations and seeds to this machine, and {HELP}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_source_counts_and_its_directory_must_exist() {
        let dir = tempfile::tempdir().expect("the temporary directory can be written");
        let existing = || Some(dir.path().to_owned());
        let absent = || Some(dir.path().join("absent"));
        let found = find(existing(), absent()).expect("the builder's exists");
        assert_eq!(found.source, Source::Builder);
        let found = find(None, existing()).expect("the variable's exists");
        assert_eq!(found.source, Source::Variable(MANIFEST_DIR));
        for (builder, variable, text) in [
            (None, absent(), "does not (CARGO_MANIFEST_DIR)"),
            (absent(), existing(), "does not (builder)"),
            (
                None,
                None,
                "must be known, but cargo did not start this process",
            ),
        ] {
            let error = find(builder, variable).expect_err("no directory");
            assert!(error.to_string().contains(text), "{error}");
            assert!(
                error
                    .help()
                    .is_some_and(|help| help.contains("CARGO_MANIFEST_DIR"))
            );
        }
    }
}
