//! What the driver's errors mean to us.

use sqlx::postgres::PgDatabaseError;

use crate::error::{Error, ErrorKind};
use crate::scarcity::Scarcity;

/// `disk_full` (<https://www.postgresql.org/docs/current/errcodes-appendix.html>, as every code here).
const DISK_FULL: &str = "53100";
const TOO_MANY_CONNECTIONS: &str = "53300";
/// `invalid_password`, `invalid_authorization_specification`, `insufficient_privilege`.
const NO_ACCESS: [&str; 3] = ["28P01", "28000", "42501"];

pub(crate) const MAKE_ROOM: &str =
    "free some space where the server keeps its data, or set EBBTIDE_STORAGE=memory or disk";

const MAKE_CONNECTIONS: &str = "each test that runs needs one connection, and each test process two more for itself: raise \
     max_connections or the role's CONNECTION LIMIT, close what else is connected, or run fewer tests at once";

/// A step of ours that the server refused or could not answer.
pub(crate) fn failed(step: &str, error: sqlx::Error) -> Error {
    let kind = kind_of(&error, ErrorKind::Database);
    let failed = Error::new(kind, format!("{step} failed")).with_source(error);
    match kind {
        ErrorKind::Io => failed.with_help(Scarcity::OpenFiles.help()),
        ErrorKind::OutOfSpace => failed.with_help(MAKE_ROOM),
        ErrorKind::OutOfConnections => failed.with_help(MAKE_CONNECTIONS),
        _ => failed,
    }
}

/// The kind that an error has whatever was going on, or else the one of what was going on.
pub(crate) fn kind_of(error: &sqlx::Error, otherwise: ErrorKind) -> ErrorKind {
    match code(error) {
        _ if is_out_of_files(error) => ErrorKind::Io,
        _ if is_server_gone(error) => ErrorKind::ServerLost,
        Some(DISK_FULL) => ErrorKind::OutOfSpace,
        Some(TOO_MANY_CONNECTIONS) => ErrorKind::OutOfConnections,
        _ => otherwise,
    }
}

/// Whether the server has no connection left, which passes when others close theirs.
pub(crate) fn is_crowded(error: &sqlx::Error) -> bool {
    code(error) == Some(TOO_MANY_CONNECTIONS)
}

/// Whether the server takes our password for a wrong one (`invalid_password`).
pub(crate) fn is_no_password(error: &sqlx::Error) -> bool {
    code(error) == Some("28P01")
}

/// Whether the server knows us and does not let us.
pub(crate) fn is_denied(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| NO_ACCESS.contains(&code))
}

/// Whether this process, and not the server, cannot open another connection.
fn is_out_of_files(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if Scarcity::of_open(error) == Some(Scarcity::OpenFiles))
}

/// Whether an error says that the server, not the statement, is the trouble.
pub(crate) fn is_server_gone(error: &sqlx::Error) -> bool {
    match error {
        _ if is_out_of_files(error) => false,
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed => true,
        // 57P01 to 57P03: shutting down, crashed, starting up. And one of ours: it is not the server that was asked for.
        error => refusal(error).is_some_and(|refused| {
            refused.code().starts_with("57P0") || refused.constraint() == Some("another_server")
        }),
    }
}

/// The SQLSTATE.
pub(crate) fn code(error: &sqlx::Error) -> Option<&str> {
    refusal(error).map(PgDatabaseError::code)
}

/// The server's own words, where it answered.
pub(crate) fn refusal(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// Everything of a refusal's fields that helps a person.
pub(crate) fn server_says(refused: &PgDatabaseError) -> String {
    let mut lines = vec![format!(
        "SQLSTATE {}: {}",
        refused.code(),
        refused.message()
    )];
    lines.extend(refused.detail().map(|text| format!("detail: {text}")));
    lines.extend(refused.hint().map(|text| format!("hint: {text}")));
    lines.extend(
        refused
            .constraint()
            .map(|text| format!("constraint: {text}")),
    );
    lines.extend(refused.r#where().map(|text| format!("where: {text}")));
    lines.join("\n")
}

/// So that a test that returns [`Result`](crate::Result) can use `?` on its own queries.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let kind = kind_of(&error, ErrorKind::Database);
        match refusal(&error) {
            Some(refused) => {
                let says = server_says(refused);
                Self::new(kind, refused.message().to_owned())
                    .with_evidence("the server says", says)
                    .with_source(error)
            }
            None if kind == ErrorKind::ServerLost => {
                Self::new(kind, "the PostgreSQL server went away during a query")
                    .with_source(error)
                    .with_help("run the tests again: the next run starts a new server")
            }
            None if kind == ErrorKind::Io => Self::new(kind, "no connection could be opened")
                .with_source(error)
                .with_help(Scarcity::OpenFiles.help()),
            None => Self::new(kind, "the query failed").with_source(error),
        }
    }
}
