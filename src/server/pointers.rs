//! Removes pointer files whose instance is gone: a supervisor that was killed did not remove its own.

use std::fs::File;
use std::path::Path;

use super::registry::{Pointer, Registry};

/// Removes every pointer in the state directory that names no instance. The caller holds the start-up lock of its own
/// key.
pub(super) fn sweep(registry: &Registry) {
    for entry in std::fs::read_dir(registry.state.servers())
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        let key = path.file_stem().and_then(|key| key.to_str());
        let Some(key) = key.filter(|_| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        }) else {
            continue;
        };
        // Another key's pointer may be replaced between the look and the removal, by the process that holds its lock.
        let lock = if path == registry.pointer_path() {
            None
        } else {
            Some(registry.state.locks().join(key))
        };
        let lock = lock.map(|path| {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
        });
        let is_free = match &lock {
            Some(Ok(file)) => file.try_lock().is_ok(),
            Some(Err(_)) => false,
            None => true,
        };
        if is_free && !leads_somewhere(registry, &path) {
            // Another process's sweep may have removed it.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Whether the pointer's instance exists. A file that is no pointer of this version's leads nowhere.
fn leads_somewhere(registry: &Registry, path: &Path) -> bool {
    // A file that cannot be read is left alone.
    let Ok(text) = std::fs::read(path) else {
        return true;
    };
    let pointer = serde_json::from_slice::<Pointer>(&text);
    pointer.is_ok_and(|pointer| registry.instance(&pointer.instance).dir.exists())
}
