//! The role as which the sessions of tests log in, if it is not the role that administers the
//! server.

use std::sync::OnceLock;

use crate::catalog::RoleRights;

/// A role as which tests log in.
#[derive(Debug)]
pub(crate) struct TestRole {
    pub(super) name: String,
    pub(super) rights: OnceLock<RoleRights>,
}

impl TestRole {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rights: OnceLock::new(),
        }
    }

    /// Whether the role's own setting makes its transactions read-only.
    pub(super) fn is_read_only(&self) -> bool {
        self.rights.get().is_some_and(|rights| rights.is_read_only)
    }
}
