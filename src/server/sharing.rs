//! Whether a server is shared or dedicated to one fingerprint.
//!
//! Roles and tablespaces belong to a whole server, not to one database
//! (<https://www.postgresql.org/docs/current/manage-ag-overview.html>). A template that creates
//! them would change what the tests of other templates see. So such a template gets a dedicated
//! server: its fingerprint is part of the server's key, and no test with another fingerprint
//! computes that key.
//!
//! ```text
//!   plan `dedicated`   a statement on roles etc.     backend native, container   external
//!   auto               no                            shared                      shared
//!   auto               yes                           dedicated                   error
//!   always             not considered                dedicated                   error
//!   never              not considered                shared                      shared
//! ```

use crate::config::{Dedicated, Plan};
use crate::names::Fingerprint;

/// Whether tests with other fingerprints may use the same server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Dedicated(Dedication),
}

/// The fingerprint to which a server is dedicated, and the cause.
#[derive(Debug, Clone)]
pub(crate) struct Dedication {
    /// The hash of the template's contents. The hash excludes the server's version, because ebbtide
    /// needs the hash to find the server.
    pub(crate) contents: Fingerprint,
    pub(crate) cause: Cause,
}

/// Why a template needs a dedicated server.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// A statement that touches the whole server.
    Statement { place: String, statement: String },
    /// The plan sets `dedicated = "always"`.
    Plan,
}

/// The cause is not compared: the same contents share one dedicated server.
impl PartialEq for Dedication {
    fn eq(&self, other: &Self) -> bool {
        self.contents == other.contents
    }
}

impl Eq for Dedication {}

impl Sharing {
    pub(crate) fn is_dedicated(&self) -> bool {
        matches!(self, Self::Dedicated(_))
    }

    /// The sharing of a second server with the same contents, which has another purpose.
    pub(crate) fn for_purpose(&self, purpose: &str) -> Self {
        match self {
            Self::Shared => Self::Shared,
            Self::Dedicated(dedication) => Self::Dedicated(Dedication {
                contents: dedication.contents.for_purpose(purpose),
                cause: dedication.cause.clone(),
            }),
        }
    }

    /// The part of a server's key; `None` for a shared server.
    pub(super) fn contents(&self) -> Option<&Fingerprint> {
        match self {
            Self::Shared => None,
            Self::Dedicated(dedication) => Some(&dedication.contents),
        }
    }
}

impl Dedication {
    pub(super) fn describe_cause(&self, plan: &Plan) -> String {
        match &self.cause {
            Cause::Statement { place, statement } => {
                format!("{place}: `{statement}` touches the whole server")
            }
            Cause::Plan => format!(
                "dedicated = \"{}\" ({})",
                Dedicated::Always,
                plan.dedicated.source
            ),
        }
    }
}
