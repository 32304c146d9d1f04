//! Programs of this machine.

use std::path::PathBuf;
use std::process::Command;

use super::Scratch;
use super::skip::skip;

/// The path of a program.
///
/// # Panics
/// If it is not on `PATH`.
pub fn program(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|| panic!("{name} is not on PATH"))
}

/// The path of a program, if it is on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Whether this machine has psql. If not, the test is skipped.
#[track_caller]
pub(crate) fn has_psql() -> bool {
    let found = Command::new("psql")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        skip("psql", "there is no psql in PATH");
    }
    found
}

/// Writes an executable shell script.
pub(crate) fn fake_program(scratch: &Scratch, name: &str, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = scratch.write(name, &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
