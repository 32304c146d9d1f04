//! The labels that mark the owner of a container or volume.

use std::collections::HashMap;

use super::super::own_uid;
use super::super::registry::Registry;
use crate::process::ProcessMark;

/// `server` for a container, `cache` for a volume. A sweep removes nothing without this label.
pub(super) const ROLE: &str = "ebbtide.role";
/// The machine, and there the state directory of a container or the user of a volume.
pub(super) const OWNER: &str = "ebbtide.owner";
/// The mark of the process that created it.
pub(super) const CLIENT: &str = "ebbtide.client";
/// The name of the container's instance.
pub(super) const INSTANCE: &str = "ebbtide.instance";

pub(super) const SERVER: &str = "server";
pub(super) const CACHE: &str = "cache";

/// The owner of containers: this state directory, since the machine's last boot.
///
/// The boot identifier distinguishes machines: an engine may serve several, and the marks of
/// their state directories may be equal. It also makes process marks comparable: they are valid
/// only within one boot.
pub(super) fn state_dir(registry: &Registry) -> String {
    format!(
        "{}/{}",
        first_word("/proc/sys/kernel/random/boot_id"),
        registry.state.mark()
    )
}

/// The owner of volumes: this user of this machine. Volumes outlive a boot.
pub(super) fn user() -> String {
    format!("{}/{}", first_word("/etc/machine-id"), own_uid())
}

/// The first word of a system file, or an empty string if the file does not exist.
fn first_word(file: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The labels of a new object with this role.
pub(super) fn of(role: &str, owner: String) -> HashMap<String, String> {
    [
        (ROLE, role.to_owned()),
        (OWNER, owner),
        (CLIENT, ProcessMark::own().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The engine's filter for objects with this role.
pub(super) fn filter(role: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{ROLE}={role}")])])
}
