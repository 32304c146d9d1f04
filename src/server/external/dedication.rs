//! Why an external server is never dedicated.

use super::super::sharing::{Cause, Dedication};
use crate::config::{Backend, Dedicated, Plan};
use crate::error::{Error, ErrorKind};

/// The error for a template that needs a dedicated server.
///
/// An external server holds other projects' databases, so it is never dedicated.
pub(super) fn refused(dedication: &Dedication, plan: &Plan) -> Error {
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
                "set EBBTIDE_DEDICATED=never to use the shared server nevertheless, or use the {} \
                 or {} backend",
                Backend::Native,
                Backend::Container
            ),
        ),
    };
    Error::new(ErrorKind::Config, message).with_help(help)
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
