//! Classifies the driver's errors.

use sqlx::postgres::PgDatabaseError;

use crate::error::{Error, ErrorKind};
use crate::guard_names::{ANOTHER_HOLDER, ANOTHER_SERVER};
use crate::scarcity::Scarcity;

/// `disk_full` (<https://www.postgresql.org/docs/current/errcodes-appendix.html>, as every code
/// here).
const DISK_FULL: &str = "53100";
const TOO_MANY_CONNECTIONS: &str = "53300";
const OBJECT_IN_USE: &str = "55006";
/// `invalid_password`, `invalid_authorization_specification`, `insufficient_privilege`.
const ACCESS_DENIED: [&str; 3] = ["28P01", "28000", "42501"];

/// The help for a full disk.
pub(crate) const DISK_FULL_HELP: &str =
    "free some space where the server keeps its data, or set EBBTIDE_STORAGE=memory or disk";

const OUT_OF_CONNECTIONS_HELP: &str = "a running test needs one connection, or six for a \
     `Database`, and each test process up to three more: raise max_connections or the role's \
     CONNECTION LIMIT, close other connections, or run fewer tests at once";

/// The error of a step of ebbtide that the server refused or could not answer. `step` begins the
/// message.
pub(crate) fn failed(step: &str, error: sqlx::Error) -> Error {
    let kind = kind_of(&error, ErrorKind::Database);
    let failed = Error::new(kind, format!("{step} failed")).with_source(error);
    match kind {
        ErrorKind::Io => failed.with_help(Scarcity::OpenFiles.help()),
        ErrorKind::OutOfSpace => failed.with_help(DISK_FULL_HELP),
        ErrorKind::OutOfConnections => failed.with_help(OUT_OF_CONNECTIONS_HELP),
        _ => failed,
    }
}

/// The kind of an error. `otherwise` is the kind for errors that do not concern the server as a
/// whole.
pub(crate) fn kind_of(error: &sqlx::Error, otherwise: ErrorKind) -> ErrorKind {
    match code(error) {
        _ if is_out_of_files(error) => ErrorKind::Io,
        _ if is_server_gone(error) => ErrorKind::ServerLost,
        Some(DISK_FULL) => ErrorKind::OutOfSpace,
        Some(TOO_MANY_CONNECTIONS) => ErrorKind::OutOfConnections,
        _ => otherwise,
    }
}

/// Whether the server has no connection left. A retry may succeed once other sessions end.
pub(crate) fn is_out_of_connections(error: &sqlx::Error) -> bool {
    code(error) == Some(TOO_MANY_CONNECTIONS)
}

/// Whether the server refuses because a session, or something else, uses the object: a database
/// that is dropped, renamed or copied, for example.
pub(crate) fn is_object_in_use(error: &sqlx::Error) -> bool {
    code(error) == Some(OBJECT_IN_USE)
}

/// Whether the server denied access to the role.
pub(crate) fn is_access_denied(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ACCESS_DENIED.contains(&code))
}

/// Whether the connection failed because this process has no file descriptor left.
fn is_out_of_files(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if Scarcity::of_open(error) == Some(Scarcity::OpenFiles))
}

/// Whether the server or the connection is lost, and not only the statement refused.
pub(crate) fn is_server_gone(error: &sqlx::Error) -> bool {
    match error {
        _ if is_out_of_files(error) => false,
        sqlx::Error::Protocol(_) => unexpected_message(error).is_none(),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => true,
        // 57P01 to 57P03: shutting down, crashed, starting up. The constraints of guard.sql: another
        // process has claimed the lane, or another server answers at this address.
        error => refusal(error).is_some_and(|refused| {
            refused.code().starts_with("57P0")
                || matches!(refused.constraint(), Some(ANOTHER_HOLDER | ANOTHER_SERVER))
        }),
    }
}

/// A message of a server that lives, which the driver does not expect as an answer to a query.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnexpectedMessage {
    /// The server waits for the data of `COPY .. FROM STDIN`.
    CopyIn,
    /// The server returns the data of `COPY .. TO STDOUT`.
    CopyOut,
    /// The session executed `LISTEN`, and a notification came.
    Notification,
}

/// The message that the driver did not expect. The driver has no other sign of it than its error's
/// text.
pub(crate) fn unexpected_message(error: &sqlx::Error) -> Option<UnexpectedMessage> {
    let sqlx::Error::Protocol(text) = error else {
        return None;
    };
    let messages = [
        ("CopyInResponse", UnexpectedMessage::CopyIn),
        ("CopyOutResponse", UnexpectedMessage::CopyOut),
        ("NotificationResponse", UnexpectedMessage::Notification),
    ];
    let named = messages.iter().find(|(name, _)| text.contains(name));
    named.map(|(_, message)| *message)
}

/// The SQLSTATE, if the server reported the error.
pub(crate) fn code(error: &sqlx::Error) -> Option<&str> {
    refusal(error).map(PgDatabaseError::code)
}

/// The error that the server reported, if it did.
pub(crate) fn refusal(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// The fields of a server's error that help a person, one line each.
pub(crate) fn server_report(refused: &PgDatabaseError) -> String {
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

/// Lets a test that returns [`Result`](crate::Result) use `?` on its own queries.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let kind = kind_of(&error, ErrorKind::Database);
        match refusal(&error) {
            Some(refused) => {
                let report = server_report(refused);
                Self::new(kind, refused.message().to_owned())
                    .with_evidence("server error", report)
                    .with_source(error)
            }
            None if kind == ErrorKind::ServerLost => Self::new(
                kind,
                "the connection to the PostgreSQL server was lost during a query",
            )
            .with_source(error)
            .with_help(
                "run the tests again: if ebbtide started the server, the next run starts a new one",
            ),
            None if kind == ErrorKind::Io => Self::new(kind, "no connection could be opened")
                .with_source(error)
                .with_help(Scarcity::OpenFiles.help()),
            None => Self::new(kind, "the query failed").with_source(error),
        }
    }
}
