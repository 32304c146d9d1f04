//! What a connection has shown about the server and our role.

/// What determines which parameters an administrative session may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VersionAndRole {
    pub(crate) version_num: u32,
    pub(crate) role: RoleKind,
}

/// Whether our role may set the parameters that are reserved for superusers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleKind {
    Superuser,
    Ordinary,
}
