//! Extensions: available, installed, and read back.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::advice;
use crate::catalog;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Ident;
use crate::sql_error;

/// Installs every extension, in the order given, and returns the versions that the server then reports.
pub(super) async fn install(connection: &mut PgConnection, names: &[String]) -> Result<BTreeMap<String, String>> {
    let mut installed = BTreeMap::new();
    // All of them are looked for before one is installed, so that one run tells everything that is missing.
    let mut missing = Vec::new();
    for name in names {
        let available = catalog::available_extension(connection, name).await;
        if available.map_err(|error| sql_error::failed("looking for extensions", error))?.is_none() {
            missing.push(name.as_str());
        }
    }
    if !missing.is_empty() {
        return Err(unavailable(connection, &missing).await);
    }
    for name in names {
        // CASCADE brings the extensions that this one needs.
        // https://www.postgresql.org/docs/current/sql-createextension.html
        let create = format!("create extension if not exists {} cascade", Ident(name));
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await.map_err(|error| {
            Error::new(ErrorKind::ExtensionInstall, format!("the extension {name} could not be installed"))
                .with_source(error)
                .with_help("the server's files for it may be incomplete or of another version: reinstall its package")
        })?;
        let version = catalog::installed_extension(connection, name).await;
        let version =
            version.map_err(|error| sql_error::failed("reading extensions back", error))?.ok_or_else(|| {
                Error::new(ErrorKind::ExtensionInstall, format!("the extension {name} was installed and is not there"))
            })?;
        installed.insert(name.clone(), version);
    }
    Ok(installed)
}

async fn unavailable(connection: &mut PgConnection, missing: &[&str]) -> Error {
    let version: Result<String, _> =
        sqlx::query_scalar("select current_setting('server_version')").fetch_one(&mut *connection).await;
    let major = connection.server_version_num().unwrap_or_default() / 10_000;
    let remedies: Vec<String> =
        missing.iter().map(|name| format!("{name}: {}", advice::where_to_get(name, major))).collect();
    Error::new(
        ErrorKind::ExtensionUnavailable,
        format!(
            "PostgreSQL {} does not have the extension{} {}",
            version.unwrap_or_default(),
            if missing.len() == 1 { "" } else { "s" },
            missing.join(", ")
        ),
    )
    .with_help(remedies.join("\n        "))
}
