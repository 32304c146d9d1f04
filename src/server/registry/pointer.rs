//! The pointer file of a key, which names the instance in use and describes its server.

use serde::{Deserialize, Serialize};

use crate::config::Backend;
use crate::conn::{RoleKind, VersionAndRole};

/// The pointer file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pointer {
    pub(crate) instance: String,
    pub(crate) version_num: u32,
    pub(crate) version: String,
    /// How many connections tests may have. Recorded here to save each process a query.
    pub(crate) connections: usize,
    /// The name of the backend that runs the server.
    pub(crate) backend: String,
    /// What a process needs to reach the server, in the form of its backend.
    pub(crate) address: serde_json::Value,
    /// Why this backend was chosen.
    pub(crate) reason: String,
}

impl Pointer {
    /// Parses the content of a pointer file. Returns `None` if it is in another format, or names
    /// another backend.
    pub(super) fn parse(text: &[u8], backend: Backend) -> Option<Self> {
        let pointer: Self = serde_json::from_slice(text).ok()?;
        (pointer.backend == backend.to_string()).then_some(pointer)
    }

    /// The version, with the role of every server that ebbtide starts.
    pub(in crate::server) fn version_and_role(&self) -> VersionAndRole {
        VersionAndRole {
            version_num: self.version_num,
            role: RoleKind::Superuser,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_of_another_backend_is_not_used() {
        let pointer = Pointer {
            instance: "0011.2233".to_owned(),
            version_num: 150_004,
            version: "15.4".to_owned(),
            connections: 97,
            backend: Backend::Native.to_string(),
            address: serde_json::Value::Null,
            reason: "EBBTIDE_BACKEND".to_owned(),
        };
        let text = serde_json::to_string(&pointer).expect("a pointer holds plain values");
        let parse = |text: &str| Pointer::parse(text.as_bytes(), Backend::Native);
        assert_eq!(parse(&text), Some(pointer));
        assert_eq!(parse(&text.replace("native", "other")), None, "{text}");
        assert_eq!(parse(&text.replace("native", "container")), None, "{text}");
    }
}
