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

use crate::config::{Backend, Dedicated, Plan};
use crate::error::{Error, ErrorKind};
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
    /// The hash of the template's contents. It excludes the server's version, because it is needed
    /// to find the server.
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

    /// The error for a template that needs a dedicated server, with the external backend.
    ///
    /// An external server holds other projects' databases, so it is never dedicated.
    pub(super) fn refused_by_external(&self, plan: &Plan) -> Option<Error> {
        let Self::Dedicated(dedication) = self else {
            return None;
        };
        let source = &plan.url.source;
        let (message, help) = match &dedication.cause {
            Cause::Statement { place, statement } => (
                format!(
                    "{place}: `{statement}` touches the whole server, and an external server is \
                     shared ({source})"
                ),
                format!(
                    "use the {} or {} backend, which starts a dedicated server for it; or run the \
                     statement on that server once by hand, guard it in the file with \
                     DO $$ BEGIN IF NOT EXISTS .. END $$, and set EBBTIDE_DEDICATED=never \
                     (dedicated = \"never\" below [server] in ebbtide.toml){}",
                    Backend::Native,
                    Backend::Container,
                    current_database_hint(statement)
                ),
            ),
            Cause::Plan => (
                format!(
                    "dedicated = \"{}\" ({}), and an external server is shared ({source})",
                    Dedicated::Always,
                    plan.dedicated.source
                ),
                format!(
                    "set EBBTIDE_DEDICATED=never to use it nevertheless, or use the {} or {} \
                     backend",
                    Backend::Native,
                    Backend::Container
                ),
            ),
        };
        Some(Error::new(ErrorKind::Config, message).with_help(help))
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

/// How a statement can name the database that is being built, instead of one fixed database.
fn current_database_hint(statement: &str) -> &'static str {
    if statement.to_ascii_lowercase().contains("database") {
        "; for the database that is being built, write \
         EXECUTE format('ALTER DATABASE %I ..', current_database()) in a DO block"
    } else {
        ""
    }
}
