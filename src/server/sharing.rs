//! Whether tests of other contents may use a server too.
//!
//! Roles, tablespaces and their like belong to a whole server. Contents that touch them get a server which only tests of
//! the same contents find: its key has the contents' fingerprint in it.

use std::io::Write as _;

use super::{Origin, Server};
use crate::config::{Backend, Dedicated, Plan};
use crate::error::{Error, ErrorKind};
use crate::names::Fingerprint;

/// Whether tests of other contents may use a server too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Dedicated(Dedication),
}

/// What a server is dedicated to, and why.
#[derive(Debug, Clone)]
pub(crate) struct Dedication {
    /// The hash of the contents, which no server's version is a part of: the server is found by it.
    pub(crate) contents: Fingerprint,
    pub(crate) cause: Cause,
}

/// Why contents get a server of their own.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// A statement touches the whole server.
    Statement { place: String, statement: String },
    /// The plan asks for it.
    Plan,
}

/// Two servers are one when they hold the same contents, whatever the cause.
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

    /// A server for another use of the same contents.
    pub(crate) fn for_purpose(&self, purpose: &str) -> Self {
        match self {
            Self::Shared => Self::Shared,
            Self::Dedicated(dedication) => Self::Dedicated(Dedication {
                contents: dedication.contents.for_purpose(purpose),
                cause: dedication.cause.clone(),
            }),
        }
    }

    /// What a server's key has of it.
    pub(super) fn contents(&self) -> Option<&Fingerprint> {
        match self {
            Self::Shared => None,
            Self::Dedicated(dedication) => Some(&dedication.contents),
        }
    }

    /// The reason for the server, with the reason for its being dedicated.
    fn explained(&self, reason: &str, plan: &Plan) -> String {
        match self {
            Self::Shared => reason.to_owned(),
            Self::Dedicated(dedication) => format!("{reason}; dedicated: {}", dedication.why(plan)),
        }
    }

    /// States in one line, for people, that a dedicated server has been started, and adds the cause to its reason.
    pub(super) fn announce(&self, server: &mut Server, plan: &Plan) {
        let Self::Dedicated(dedication) = self else {
            return;
        };
        if server.origin == Origin::Started {
            // Not by `eprintln!`, which a test runner captures for the test that comes first. Without a stderr, the reason
            // remains.
            let _ = writeln!(
                std::io::stderr(),
                "ebbtide: started a dedicated PostgreSQL server: {}",
                dedication.why(plan)
            );
        }
        server.is_dedicated = true;
        server.reason = self.explained(&server.reason, plan);
    }

    /// The error for contents that an external server cannot hold: other projects and real databases are on it.
    pub(super) fn refused_by_external(&self, plan: &Plan) -> Option<Error> {
        let Self::Dedicated(dedication) = self else {
            return None;
        };
        let source = &plan.url.source;
        let (message, help) = match &dedication.cause {
            Cause::Statement { place, statement } => (
                format!(
                    "{place}: `{statement}` touches the whole server, and an external server is shared ({source})"
                ),
                format!(
                    "use the {} or {} backend, which starts a dedicated server for it; or run the statement on that server \
                     once by hand, guard it in the file with DO $$ BEGIN IF NOT EXISTS .. END $$, and set \
                     EBBTIDE_DEDICATED=never (dedicated = \"never\" below [server] in ebbtide.toml){}",
                    Backend::Native,
                    Backend::Container,
                    of_database(statement)
                ),
            ),
            Cause::Plan => (
                format!(
                    "dedicated = \"{}\" ({}), and an external server is shared ({source})",
                    Dedicated::Always,
                    plan.dedicated.source
                ),
                format!(
                    "set EBBTIDE_DEDICATED=never to use it all the same, or use the {} or {} backend",
                    Backend::Native,
                    Backend::Container
                ),
            ),
        };
        Some(Error::new(ErrorKind::Config, message).with_help(help))
    }
}

impl Dedication {
    fn why(&self, plan: &Plan) -> String {
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

/// The way to name the database that is being built, for statements that name another one.
fn of_database(statement: &str) -> &'static str {
    if statement.to_ascii_lowercase().contains("database") {
        "; for the database that is being built, write EXECUTE format('ALTER DATABASE %I ..', current_database()) in a DO \
         block"
    } else {
        ""
    }
}
