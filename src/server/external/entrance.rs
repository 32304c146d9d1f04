//! The first connection, and what it means when there is none.

use std::io;

use sqlx::postgres::PgConnection;

use crate::config::{Plan, ServerUrl};
use crate::conn::{self, ADMIN_DATABASE, ConnParams};
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error::{self, code};
use crate::wait::Patience;

/// Connects to the database that administration goes through: `postgres`, or else the URL's own.
pub(super) async fn enter(
    plan: &Plan,
    url: &ServerUrl,
    conn: ConnParams,
) -> Result<(ConnParams, PgConnection)> {
    let first = match connect(plan, &conn, ADMIN_DATABASE).await {
        Ok(connection) => return Ok((conn, connection)),
        Err(error) => error,
    };
    let own = conn.own_database().to_owned();
    if own == ADMIN_DATABASE || !is_about_the_database(&first) {
        return Err(refusal(plan, url, &conn, first));
    }
    match connect(plan, &conn, &own).await {
        Ok(connection) => Ok((conn.through(&own), connection)),
        Err(second) if is_about_the_database(&second) => {
            Err(nowhere(url, plan, &own, &first, second))
        }
        Err(second) => Err(refusal(plan, url, &conn, second)),
    }
}

/// Waits for a server that says that it starts up, as long as one of ours might take.
async fn connect(
    plan: &Plan,
    conn: &ConnParams,
    database: &str,
) -> Result<PgConnection, sqlx::Error> {
    let mut patience = Patience::new(
        "waiting for the server to start up",
        *plan.start_timeout.get(),
    );
    loop {
        match conn::open(&conn.own_options(database)).await {
            // cannot_connect_now
            Err(error) if code(&error) == Some("57P03") => {
                if patience.pause(&error).await.is_err() {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

/// Whether another database of the same server may let us in.
fn is_about_the_database(error: &sqlx::Error) -> bool {
    match code(error) {
        // invalid_catalog_name; object_not_in_prerequisite_state, for one that takes no connections;
        // invalid_authorization_specification, for one that pg_hba.conf does not list.
        Some("3D000" | "55000" | "28000") => true,
        // insufficient_privilege, for the right to connect, and not for a setting.
        Some("42501") => refused_setting(error).is_none(),
        _ => false,
    }
}

fn nowhere(
    url: &ServerUrl,
    plan: &Plan,
    own: &str,
    first: &sqlx::Error,
    second: sqlx::Error,
) -> Error {
    let message = format!(
        "the server of {url} ({}) lets this role into neither the database {ADMIN_DATABASE} nor {own}",
        plan.url.source
    );
    Error::new(ErrorKind::AccessDenied, message)
        .with_evidence(format!("about {ADMIN_DATABASE}"), told(first))
        .with_source(second)
        .with_help("name a database in the URL that the role may connect to; ebbtide only sends statements from there")
}

/// Everything else that may be wrong at a server's door.
fn refusal(plan: &Plan, url: &ServerUrl, conn: &ConnParams, error: sqlx::Error) -> Error {
    let source = &plan.url.source;
    let unavailable = |message: String| Error::new(ErrorKind::BackendUnavailable, message);
    if let Some(refused) = encryption(url, conn, &error) {
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
        return Error::new(ErrorKind::Config, format!("{message} ({place})")).with_source(error).with_help(
            "an external server has its own configuration, where settings of this kind belong: take it out of `settings`, \
             correct its value, or have the server's administrator set it",
        );
    }
    let error = match &error {
        sqlx::Error::Io(_) => {
            return unavailable(format!("no server answers at {} ({source})", conn.place()))
                .with_source(error)
                .with_help(
                    "start it, or correct the URL; without one, ebbtide starts a server of its own",
                );
        }
        refused if sql_error::is_denied(refused) => {
            return Error::new(ErrorKind::AccessDenied, format!("the server does not let us in with {url} ({source})"))
                .with_source(error)
                .with_help("correct the role or its password in the URL, or see to it that pg_hba.conf lets them in");
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
            "its log says more; see whether it is a PostgreSQL server that takes connections",
        ),
    }
}

/// What is wrong with the encryption that `sslmode` asks for.
fn encryption(url: &ServerUrl, conn: &ConnParams, error: &sqlx::Error) -> Option<Error> {
    let said = match error {
        sqlx::Error::Tls(error) => error.to_string(),
        // What the certificate's verification says arrives as the failure to read on.
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
        _ => return None,
    };
    if said.contains("without TLS support") {
        let message =
            format!("{url} asks for encryption, which is not part of this build of ebbtide");
        return Some(
            Error::new(ErrorKind::Config, message).with_help("turn on ebbtide's feature `tls`"),
        );
    }
    let (kind, message, help) = if said.contains("does not support TLS") {
        let message = format!(
            "{url} asks for encryption, and the server at {} has none",
            conn.place()
        );
        (
            ErrorKind::BackendUnavailable,
            message,
            "turn on `ssl` on the server, or use sslmode=prefer",
        )
    } else {
        let message = format!(
            "the certificate of the server at {} is not what {url} asks for",
            conn.place()
        );
        let help = "name the certificate of its authority with sslrootcert=FILE; sslmode=verify-ca accepts any host \
                    name, and sslmode=require any certificate";
        (ErrorKind::AccessDenied, message, help)
    };
    Some(Error::new(kind, message).with_help(help))
}

/// The setting in our start-up message that the server refused.
fn refused_setting(error: &sqlx::Error) -> Option<String> {
    let message = sql_error::refusal(error)?.message();
    // "invalid value for parameter", "permission denied to set parameter", "unrecognized configuration parameter",
    // "parameter ... cannot be changed": in every language the name stands in the first quotes.
    let is_setting = matches!(
        code(error)?,
        "22023" | "42501" | "42704" | "55P02" | "42601"
    );
    (is_setting && message.contains("parameter"))
        .then(|| message.split('"').nth(1).map(str::to_owned))?
}

fn told(error: &sqlx::Error) -> String {
    crate::error::told(error)
}
