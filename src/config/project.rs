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
    has_workspace(&manifest)
}

/// Whether a manifest has the table `workspace`.
fn has_workspace(manifest: &str) -> bool {
    // Most manifests lack the table. Parsing one takes longer than the rest of a test process's
    // configuration, because the user's build compiles the parser without optimisation.
    if !manifest.lines().any(may_begin_workspace) {
        return false;
    }
    // Cargo reports a manifest that does not parse.
    toml::de::DeTable::parse(manifest).is_ok_and(|table| table.get_ref().contains_key("workspace"))
}

/// Whether a line may begin the table `workspace` or set one of its keys, as in `[workspace]`,
/// `[workspace.lints]` and `workspace.members = []`.
fn may_begin_workspace(line: &str) -> bool {
    // A byte order mark may precede the first line.
    let name = line.trim_start_matches(|c: char| c.is_whitespace() || c == '[' || c == '\u{feff}');
    let unquoted = name.trim_start_matches(['"', '\'']);
    // A quoted name may contain escape sequences.
    let is_escaped = name.starts_with('"') && name.contains('\\');
    match unquoted.strip_prefix("workspace") {
        // In most members of a workspace, `[lints]` has this line.
        Some(value) => value.trim() != "= true",
        None => is_escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the directory of this manifest is a root, according to the parser and to the check
    /// before it.
    #[test]
    fn each_spelling_of_the_table_reaches_the_parser() {
        for root in [
            "[workspace]",
            "[package]\nname = \"a\"\n\n  [ workspace ] # root",
            "[workspace.lints.rust]",
            "[[workspace.x]]",
            "[\"workspace\"]",
            "['workspace'.package]",
            "workspace = { members = [] }",
            "workspace.members = []",
            "\"workspace\".members = []",
            "[\"\\u0077orkspace\"]",
            "\u{feff}[workspace]",
            "[package]\r\nname = \"a\"\r\n[workspace]\r\n",
        ] {
            assert!(has_workspace(root), "{root}");
        }
        for member in [
            "",
            "[package]\nname = \"a\"\nversion.workspace = true",
            "[dependencies]\nworkspace = \"1\"",
            "[package]\ndescription = \"\"\"\n[workspace]\n\"\"\"",
            "# [workspace]",
            "[workspace",
        ] {
            assert!(!has_workspace(member), "{member}");
        }
        let member =
            "[package]\nname = \"a\"\nversion.workspace = true\n\n[lints]\nworkspace = true";
        assert!(
            !member.lines().any(may_begin_workspace),
            "the usual manifest of a member is not parsed"
        );
    }
}
