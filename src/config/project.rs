//! The directories from a package up to the root of its workspace.

use std::path::{Path, PathBuf};

/// A package's directory and those above it, up to the root of its workspace or repository.
#[derive(Debug, Clone)]
pub(super) struct Project {
    /// Innermost first. The first is the package's own directory.
    dirs: Vec<PathBuf>,
    /// Whether the last directory is the root of a workspace or repository.
    rooted: bool,
}

impl Project {
    /// Walks up from the package to the first root of a Cargo workspace or of a Git checkout.
    pub(super) fn around(package_root: &Path) -> Self {
        let mut dirs = Vec::new();
        for dir in package_root.ancestors() {
            dirs.push(dir.to_owned());
            if is_root(dir) {
                return Self { dirs, rooted: true };
            }
        }
        // Without a root, the directories above the package belong to other projects.
        dirs.truncate(1);
        Self {
            dirs,
            rooted: false,
        }
    }

    /// The first file of this name, from the package's directory upwards.
    pub(super) fn nearest(&self, name: &str) -> Option<PathBuf> {
        self.dirs
            .iter()
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    }

    /// The file of this name in the package's directory, else in the root's.
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
    // Cargo reports a manifest that does not parse.
    toml::de::DeTable::parse(&manifest).is_ok_and(|table| table.get_ref().contains_key("workspace"))
}
