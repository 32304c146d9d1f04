//! The three sources together. Each test has its own directory and an environment of literals.

mod combinations;
mod documentation;
mod file_errors;
mod named_plans;
mod places;
mod precedence;
mod printing;
mod value_errors;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Builder, Environment, Plan};
use crate::error::{Error, ErrorKind, Result};

/// A package in its own directory, which is also the root of its repository. `Drop` removes it.
struct Package {
    dir: TempDir,
}

impl Package {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("the temporary directory can be written");
        fs::create_dir(dir.path().join(".git")).expect("the package can be written");
        Self { dir }
    }

    /// A package whose `ebbtide.toml` has this text.
    fn with_file(text: &str) -> Self {
        Self::new().file("ebbtide.toml", text)
    }

    /// Adds a file and the directories above it.
    fn file(self, name: &str, text: &str) -> Self {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("below the root"))
            .expect("the package can be written");
        fs::write(path, text).expect("the package can be written");
        self
    }

    fn dir(self, name: &str) -> Self {
        fs::create_dir_all(self.root().join(name)).expect("the package can be written");
        self
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The package's environment with these variables.
    fn environment(&self, variables: &[(&str, &str)]) -> Environment {
        environment(self.root(), variables)
    }

    fn plan(&self, builder: &Builder, variables: &[(&str, &str)]) -> Result<Plan> {
        builder.resolve(&self.environment(variables))
    }
}

fn environment(package_root: &Path, variables: &[(&str, &str)]) -> Environment {
    let root = package_root
        .to_str()
        .expect("the temporary directory is UTF-8");
    let all = variables
        .iter()
        .copied()
        .chain([("CARGO_MANIFEST_DIR", root)]);
    Environment::new(all, package_root, "/tmp", 1000)
}

/// Kind, message and help of an error.
fn kind_message_help(error: &Error) -> (ErrorKind, String, &str) {
    (
        error.kind(),
        error.to_string(),
        error.help().unwrap_or_default(),
    )
}

/// The error of these variables in an empty package.
fn refused_variables(variables: &[(&str, &str)]) -> Error {
    Package::new()
        .plan(&Builder::new(), variables)
        .expect_err("an illegal variable")
}

/// The error of a package with this `ebbtide.toml`.
fn refused_file(text: &str) -> Error {
    Package::with_file(text)
        .plan(&Builder::new(), &[])
        .expect_err("an illegal file")
}

/// The error of this builder in an empty package.
fn refused_builder(builder: &Builder) -> Error {
    Package::new()
        .plan(builder, &[])
        .expect_err("an illegal builder")
}
