//! The first connection to an external server, and the errors for a failed one.

use std::io;

use sqlx::postgres::PgConnection;

use crate::config::{Plan, ServerUrl};
use crate::conn::{self, ADMIN_DATABASE, ConnParams};
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error::{self, code};
use crate::wait::Polling;

/// Connects to the database for administration: `postgres`, or else the URL's own.
///
/// A role that may not connect to `postgres` can usually connect to its own database.
///
/// # Errors
/// The role can connect to neither database, or the server cannot be used at all.
pub(super) async fn admin_connection(
    plan: &Plan,
    url: &ServerUrl,
    conn: ConnParams,
) -> Result<(ConnParams, PgConnection)> {
    let first = match connect(plan, &conn, ADMIN_DATABASE).await {
        Ok(connection) => return Ok((conn, connection)),
        Err(error) => error,
    };
    let own = conn.own_database().to_owned();
    // After any other error, such as a wrong password, a second attempt fails for the same reason.
    if own == ADMIN_DATABASE || !is_about_the_database(&first) {
        return Err(connect_error(plan, url, &conn, first));
    }
    match connect(plan, &conn, &own).await {
        // Advisory locks belong to a database. Processes see each other's locks only if all of them
        // end in the same database here, which the role's privileges and pg_hba.conf decide.
        Ok(connection) => Ok((conn.with_admin_database(&own), connection)),
        Err(second) if is_about_the_database(&second) => {
            Err(no_database(url, plan, &own, &first, second))
        }
        Err(second) => Err(connect_error(plan, url, &conn, second)),
    }
}

/// Connects, and retries while the server is starting up, for the plan's start timeout.
async fn connect(
    plan: &Plan,
    conn: &ConnParams,
    database: &str,
) -> Result<PgConnection, sqlx::Error> {
    let mut polling = Polling::new(
        "waiting for the server to start up",
        *plan.start_timeout.get(),
    );
    loop {
        match conn::open(&conn.own_options(database)).await {
            // cannot_connect_now
            Err(error) if code(&error) == Some("57P03") => {
                if polling.pause(&error).await.is_err() {
                    // The server's own message explains more than the timeout.
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

/// Whether the same role may be able to connect to another database of the server.
fn is_about_the_database(error: &sqlx::Error) -> bool {
    match code(error) {
        // invalid_catalog_name; object_not_in_prerequisite_state, for a database that accepts no
        // connections; invalid_authorization_specification, for one that pg_hba.conf does not list.
        Some("3D000" | "55000" | "28000") => true,
        // insufficient_privilege: for the privilege CONNECT, and also for a setting in the start-up
        // message, which another database would reject too.
        Some("42501") => refused_setting(error).is_none(),
        _ => false,
    }
}

/// The error for a role that can connect to neither database.
fn no_database(
    url: &ServerUrl,
    plan: &Plan,
    own: &str,
    first: &sqlx::Error,
    second: sqlx::Error,
) -> Error {
    let message = format!(
        "the role of {url} ({}) can connect to neither the database {ADMIN_DATABASE} nor {own}",
        plan.url.source
    );
    Error::new(ErrorKind::AccessDenied, message)
        .with_evidence(format!("about {ADMIN_DATABASE}"), message_of(first))
        .with_source(second)
        .with_help(
            "name a database in the URL that the role may connect to; ebbtide only sends its \
             administrative statements from there",
        )
}

/// The error for every other failure to connect.
fn connect_error(plan: &Plan, url: &ServerUrl, conn: &ConnParams, error: sqlx::Error) -> Error {
    let source = &plan.url.source;
    let unavailable = |message: String| Error::new(ErrorKind::BackendUnavailable, message);
    if let Some(refused) = encryption_error(url, conn, &error) {
        return refused.with_source(error);
    }
    if let Some(setting) = refused_setting(&error) {
        let message = format!(
            "the server at {} does not let a session set {setting}",
            conn.place()
        );
        let of_plan = plan.settings.contains_key(&setting.to_ascii_lowercase());
        let place = if of_plan {
            plan.settings.source.to_string()
        } else {
            format!("options in {source}")
        };
        let message = format!("{message} ({place})");
        return Error::new(ErrorKind::Config, message)
            .with_source(error)
            .with_help(
                "an external server has its own configuration, where settings of this kind belong: \
             remove it from `settings`, correct its value, or have the server's administrator set \
             it",
            );
    }
    let error =
        match &error {
            sqlx::Error::Io(_) => {
                return unavailable(format!("no server answers at {} ({source})", conn.place()))
                    .with_source(error)
                    .with_help(
                        "start the server, or correct the URL; \
                     without a URL, ebbtide starts its own server",
                    );
            }
            refused if sql_error::is_access_denied(refused) => {
                let message = format!("the server rejects the login with {url} ({source})");
                return Error::new(ErrorKind::AccessDenied, message).with_source(error).with_help(
                "correct the role or its password in the URL, or allow the role in pg_hba.conf",
            );
            }
            _ => error,
        };
    match sql_error::kind_of(&error, ErrorKind::BackendUnavailable) {
        ErrorKind::OutOfConnections => {
            sql_error::failed(&format!("connecting to {}", conn.place()), error)
        }
        _ => unavailable(format!(
            "the server at {} cannot be used ({source})",
            conn.place()
        ))
        .with_source(error)
        .with_help(
            "see its log, and check that it is a PostgreSQL server that accepts connections",
        ),
    }
}

/// The error if the encryption that `sslmode` requires has failed.
fn encryption_error(url: &ServerUrl, conn: &ConnParams, error: &sqlx::Error) -> Option<Error> {
    let reason = match error {
        sqlx::Error::Tls(error) => error.to_string(),
        // A certificate that fails verification arrives as an I/O error of the next read.
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
        _ => return None,
    };
    // The driver has no error variants for these causes, so the text of its message decides.
    if reason.contains("without TLS support") {
        let message =
            format!("{url} requires encryption, which is not part of this build of ebbtide");
        return Some(
            Error::new(ErrorKind::Config, message).with_help("enable ebbtide's feature `tls`"),
        );
    }
    let (kind, message, help) = if reason.contains("does not support TLS") {
        let message = format!(
            "{url} requires encryption, which the server at {} does not support",
            conn.place()
        );
        (
            ErrorKind::BackendUnavailable,
            message,
            "enable `ssl` on the server, or use sslmode=prefer",
        )
    } else {
        let message = format!(
            "the certificate of the server at {} does not meet the requirements of {url}",
            conn.place()
        );
        let help = "name the certificate of its authority with sslrootcert=FILE; \
                    sslmode=verify-ca accepts any host name, and sslmode=require any certificate";
        (ErrorKind::AccessDenied, message, help)
    };
    Some(Error::new(kind, message).with_help(help))
}

/// The setting in the start-up message that the server rejected.
fn refused_setting(error: &sqlx::Error) -> Option<String> {
    let message = sql_error::refusal(error)?.message();
    // "invalid value for parameter", "permission denied to set parameter", "unrecognized
    // configuration parameter", "parameter ... cannot be changed": in every language the name is in
    // the first quotes.
    let is_setting = matches!(
        code(error)?,
        "22023" | "42501" | "42704" | "55P02" | "42601"
    );
    (is_setting && message.contains("parameter"))
        .then(|| message.split('"').nth(1).map(str::to_owned))?
}

fn message_of(error: &sqlx::Error) -> String {
    crate::error::cause_message(error)
}
