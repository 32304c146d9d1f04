//! The folders from a package up to its workspace root.

use std::path::{Path, PathBuf};

/// A package's folder and those above it, up to the root of its workspace or repository.
#[derive(Debug)]
pub(super) struct Project {
    /// Innermost first; the package's own folder is always there.
    folders: Vec<PathBuf>,
    /// Whether the last folder is a root in its own right, not just the end of the way up.
    rooted: bool,
}

impl Project {
    /// Walks up from the package until a folder is the root of a Cargo workspace or of a Git checkout.
    pub(super) fn around(package_root: &Path) -> Self {
        let mut folders = Vec::new();
        for folder in package_root.ancestors() {
            folders.push(folder.to_owned());
            if is_root(folder) {
                return Self {
                    folders,
                    rooted: true,
                };
            }
        }
        // Without a root, what lies above the package is a stranger's.
        folders.truncate(1);
        Self {
            folders,
            rooted: false,
        }
    }

    /// The first file of this name on the way up.
    pub(super) fn nearest(&self, name: &str) -> Option<PathBuf> {
        self.folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }

    /// The file of this name in the package's folder, else in the root.
    pub(super) fn beside_package_or_root(&self, name: &str) -> Option<PathBuf> {
        let root = if self.rooted {
            self.folders.last()
        } else {
            None
        };
        self.folders
            .first()
            .into_iter()
            .chain(root)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }
}

fn is_root(folder: &Path) -> bool {
    // In a Git worktree or submodule `.git` is a file.
    if folder.join(".git").exists() {
        return true;
    }
    let Ok(manifest) = std::fs::read_to_string(folder.join("Cargo.toml")) else {
        return false;
    };
    // A manifest that does not parse is cargo's to complain about.
    toml::de::DeTable::parse(&manifest).is_ok_and(|table| table.get_ref().contains_key("workspace"))
}
