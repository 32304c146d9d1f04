//! One section of `ebbtide.toml`: a table of keys.

use std::path::Path;

use super::document::Entry;
use super::key::Key;
use super::keys::{KEYS, Layer};
use crate::error::{Error, Result};

/// Stores the values of one section.
pub(super) fn read(section: &Entry<'_>, dir: &Path, layer: &mut Layer) -> Result<()> {
    let legal = format!("a table of keys, as in [{}]", section.path());
    for entry in section.table(&legal)? {
        if !layer.set(&entry, dir)? {
            let of_section = KEYS.all().filter(|key| key.section() == section.name);
            return Err(entry.unknown_key(&of_section.map(Key::name).collect::<Vec<_>>()));
        }
    }
    Ok(())
}

/// The error of a key outside the sections. If a section has this key, the help names the section,
/// whose path begins with `place`.
pub(super) fn misplaced(entry: &Entry<'_>, sections: &[&str], place: &str) -> Error {
    let error = entry.unknown_key(sections);
    match KEYS.all().find(|key| key.name() == entry.name) {
        Some(key) => error.with_help(format!(
            "move {} below [{place}{}]",
            key.name(),
            key.section()
        )),
        None => error,
    }
}
