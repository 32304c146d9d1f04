//! The key that decides which processes share a server.

use std::path::PathBuf;

use super::super::sharing::Sharing;
use super::super::state::StateDir;
use crate::config::{Backend, Plan};
use crate::names::{Fingerprint, PartsHash, short_id};

/// Part of every server key. Incremented when files in the state directory change their meaning, so
/// that no process joins a server whose files it would misread.
const FORMAT: u32 = 6;

/// A hash of everything on which two plans must agree to share a server.
#[derive(Debug, Clone)]
pub(crate) struct ServerKey(String);

impl ServerKey {
    /// The key of the lock under which the backend `auto` makes its choice. No server has this key.
    pub(in crate::server) fn auto_lock(plan: &Plan, sharing: &Sharing) -> Self {
        let mut hash = PartsHash::default();
        hash.part("backend", Backend::Auto.to_string());
        Self::of(plan, sharing, hash)
    }

    /// The key with what counts for every backend, after the parts in `hash`, which count for one.
    /// A key of the configuration belongs here if servers with other values of it must not be
    /// shared.
    pub(in crate::server) fn of(plan: &Plan, sharing: &Sharing, mut hash: PartsHash) -> Self {
        hash.part("format", FORMAT.to_string());
        // Two releases never share a server: they may differ in their files and scripts.
        hash.part("version", env!("CARGO_PKG_VERSION"));
        hash.list(
            "postgres",
            plan.postgres.map(|major| major.to_string()).as_slice(),
        );
        hash.list("settings", plan.settings.keys());
        hash.list("values", plan.settings.values());
        // A role is an object of the whole server.
        for role in plan.roles.get() {
            hash.part("role", &role.name);
            hash.list("member of", &role.member_of);
        }
        hash.part("storage", plan.storage.to_string());
        // The supervisor counts one linger for all processes that use the server.
        hash.part("linger", plan.linger.as_nanos().to_string());
        hash.list(
            "contents",
            sharing.contents().map(Fingerprint::as_str).as_slice(),
        );
        // Short, because the key is part of a socket's path, whose length the system limits.
        Self(hash.digits(8))
    }

    /// A name for a new instance, used by no other.
    pub(crate) fn new_instance_name(&self) -> String {
        format!("{}.{}", self.0, short_id())
    }

    /// The key in the name of an instance.
    pub(super) fn of_instance(instance_name: &str) -> Self {
        Self(
            instance_name
                .split('.')
                .next()
                .unwrap_or_default()
                .to_owned(),
        )
    }

    /// Whether an instance of this name has this key.
    pub(super) fn is_key_of(&self, instance_name: &str) -> bool {
        instance_name.starts_with(&format!("{}.", self.0))
    }

    /// The key as part of a file's name.
    pub(in crate::server) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of this key's pointer file.
    pub(super) fn pointer(&self, state: &StateDir) -> PathBuf {
        state.servers().join(format!("{}.json", self.0))
    }
}
