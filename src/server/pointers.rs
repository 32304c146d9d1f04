//! Removes pointer files whose instance is gone.
//!
//! A supervisor removes the pointer of its own instance. A supervisor that was killed did not.

use std::path::Path;

use super::registry::{Pointer, Registry};

/// Removes every pointer in the state directory that names no existing instance.
///
/// The caller holds the start-up lock of its own key. For every other key this function takes that
/// key's lock, without waiting. A pointer whose lock another process holds is about to be replaced,
/// and stays.
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
        // Without the lock, a process could start a server of this key and write a new pointer
        // between the check and the removal. The removal would delete the new pointer. The caller
        // already holds the lock of its own key, and a second attempt to take it would fail.
        let is_own = path == registry.pointer_path();
        let lock = if is_own {
            None
        } else {
            registry.try_lock_of(key)
        };
        let is_locked = is_own || lock.is_some();
        if is_locked && !names_instance(registry, &path) {
            // The sweep of another process may have removed it already.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Whether the pointer names an existing instance. A file in another format names none.
fn names_instance(registry: &Registry, path: &Path) -> bool {
    // A file that cannot be read stays.
    let Ok(text) = std::fs::read(path) else {
        return true;
    };
    let pointer = serde_json::from_slice::<Pointer>(&text);
    pointer.is_ok_and(|pointer| registry.instance(&pointer.instance).dir.exists())
}
