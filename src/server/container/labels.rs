//! The owner's mark on what we make in an engine, as labels.

use std::collections::HashMap;

use super::super::registry::Registry;
use crate::process::ProcessMark;

/// `server` for a container, `cache` for a volume. Nothing without this label is ever removed.
pub(super) const ROLE: &str = "ebbtide.role";
/// The state folder that it belongs to, on which machine.
pub(super) const OWNER: &str = "ebbtide.owner";
/// The process that made it, as pid and start time.
pub(super) const CLIENT: &str = "ebbtide.client";
/// The instance's name.
pub(super) const INSTANCE: &str = "ebbtide.instance";
/// The superuser's password in a cached data folder. Who can read labels can read the volume.
pub(super) const PASSWORD: &str = "ebbtide.password";

pub(super) const SERVER: &str = "server";
pub(super) const CACHE: &str = "cache";

/// The owner's mark of everything made for this state folder.
pub(super) fn owner(registry: &Registry) -> String {
    // An engine may serve several machines, whose folders may have the same number.
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let machine = machine.split('-').next().unwrap_or_default().trim();
    format!("{machine}/{}", registry.state.mark())
}

/// Labels of everything made in a role.
pub(super) fn of(role: &str, registry: &Registry) -> HashMap<String, String> {
    [(ROLE, role.to_owned()), (OWNER, owner(registry)), (CLIENT, ProcessMark::own().to_string())]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The engine's filter for what was made in a role.
pub(super) fn filter(role: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{ROLE}={role}")])])
}
