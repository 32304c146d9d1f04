//! Programs of this machine.

use std::path::PathBuf;

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
