//! The directories from a package up to its workspace root.

use std::path::{Path, PathBuf};

/// A package's directory and those above it, up to the root of its workspace or repository.
#[derive(Debug)]
pub(super) struct Project {
    /// Innermost first; the package's own directory is always there.
    dirs: Vec<PathBuf>,
    /// Whether the last directory is a root in its own right, not just the end of the way up.
    rooted: bool,
}

impl Project {
    /// Walks up from the package until a directory is the root of a Cargo workspace or of a Git checkout.
    pub(super) fn around(package_root: &Path) -> Self {
        let mut dirs = Vec::new();
        for dir in package_root.ancestors() {
            dirs.push(dir.to_owned());
            if is_root(dir) {
                return Self { dirs, rooted: true };
            }
        }
        // Without a root, what lies above the package is a stranger's.
        dirs.truncate(1);
        Self {
            dirs,
            rooted: false,
        }
    }

    /// The first file of this name on the way up.
    pub(super) fn nearest(&self, name: &str) -> Option<PathBuf> {
        self.dirs
            .iter()
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    }

    /// The file of this name in the package's directory, else in the root.
    pub(super) fn beside_package_or_root(&self, name: &str) -> Option<PathBuf> {
        let root = if self.rooted { self.dirs.last() } else { None };
        self.dirs
            .first()
            .into_iter()
            .chain(root)
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    }
}

fn is_root(dir: &Path) -> bool {
    // In a Git worktree or submodule `.git` is a file.
    if dir.join(".git").exists() {
        return true;
    }
    let Ok(manifest) = std::fs::read_to_string(dir.join("Cargo.toml")) else {
        return false;
    };
    // A manifest that does not parse is cargo's to complain about.
    toml::de::DeTable::parse(&manifest).is_ok_and(|table| table.get_ref().contains_key("workspace"))
}
