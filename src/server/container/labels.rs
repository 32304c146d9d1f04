//! The owner's mark on what we make in an engine, as labels.

use std::collections::HashMap;

use super::super::own_uid;
use super::super::registry::Registry;
use crate::process::ProcessMark;

/// `server` for a container, `cache` for a volume. Nothing without this label is ever removed.
pub(super) const ROLE: &str = "ebbtide.role";
/// A container's state directory, or a volume's user, on which machine.
pub(super) const OWNER: &str = "ebbtide.owner";
/// The process that made it, as pid and start time.
pub(super) const CLIENT: &str = "ebbtide.client";
/// The instance's name.
pub(super) const INSTANCE: &str = "ebbtide.instance";

pub(super) const SERVER: &str = "server";
pub(super) const CACHE: &str = "cache";

/// The owner's mark of containers of this state directory. They do not outlive the machine's boot.
pub(super) fn state_dir(registry: &Registry) -> String {
    // An engine may serve several machines, whose directories may have the same number.
    format!(
        "{}/{}",
        first_word("/proc/sys/kernel/random/boot_id"),
        registry.state.mark()
    )
}

/// The owner's mark of volumes of this user.
pub(super) fn user() -> String {
    format!("{}/{}", first_word("/etc/machine-id"), own_uid())
}

/// The first word of a file of the system; nothing where there is none.
fn first_word(file: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Labels of everything made in a role.
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

/// The engine's filter for what was made in a role.
pub(super) fn filter(role: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{ROLE}={role}")])])
}
