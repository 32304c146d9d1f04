//! Extensions: checks that they are available, installs them, and looks for them in the catalog.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::statement_help;
use crate::catalog;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Ident;
use crate::sql_error;

/// Installs every extension, in the given order.
pub(super) async fn install(connection: &mut PgConnection, names: &[String]) -> Result<()> {
    // Every extension is looked for before the first is installed, so one run reports all missing
    // ones.
    let mut missing = Vec::new();
    for name in names {
        let available = catalog::available_extension(connection, name).await;
        if available
            .map_err(|error| sql_error::failed("looking for extensions", error))?
            .is_none()
        {
            missing.push(name.as_str());
        }
    }
    if !missing.is_empty() {
        return Err(unavailable(connection, &missing).await);
    }
    for name in names {
        // CASCADE also installs the extensions that this one requires.
        // <https://www.postgresql.org/docs/current/sql-createextension.html>
        let create = format!("create extension if not exists {} cascade", Ident(name));
        let created = sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut *connection)
            .await;
        created.map_err(|error| {
            // insufficient_privilege. The extensions of the plan were checked before the build, so
            // this one is an extension that CASCADE installs.
            if sql_error::code(&error) == Some("42501") {
                return superuser_required(std::slice::from_ref(name)).with_source(error);
            }
            Error::new(
                ErrorKind::ExtensionInstall,
                format!("the extension {name} could not be installed"),
            )
            .with_source(error)
            .with_help(
                "the server's files for it may be incomplete or of another version: reinstall its \
                 package",
            )
        })?;
        let installed = catalog::installed_extension(connection, name).await;
        if installed
            .map_err(|error| sql_error::failed("reading extensions back", error))?
            .is_none()
        {
            return Err(Error::new(
                ErrorKind::ExtensionInstall,
                format!("the extension {name} was installed, but pg_extension does not list it"),
            ));
        }
    }
    Ok(())
}

/// The extensions that this role may not install: the role is not a superuser, and the extensions
/// are not trusted.
/// <https://www.postgresql.org/docs/current/view-pg-available-extension-versions.html>
pub(crate) async fn extensions_needing_superuser(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Vec<String>> {
    let query = "select v.name::text from pg_available_extension_versions v \
         join pg_available_extensions a on a.name = v.name and a.default_version = v.version \
         where v.name = any ($1) and v.superuser and not v.trusted \
         and not (select rolsuper from pg_roles where rolname = current_user) \
         order by array_position($1, v.name::text)";
    sqlx::query_scalar(query)
        .bind(names)
        .fetch_all(connection)
        .await
        .map_err(|error| sql_error::failed("looking for extensions that need a superuser", error))
}

/// The error for extensions that only a superuser may install.
pub(crate) fn superuser_required(names: &[String]) -> Error {
    let (plural, need) = if names.len() == 1 {
        ("", "needs")
    } else {
        ("s", "need")
    };
    let create: Vec<String> = names
        .iter()
        .map(|name| format!("CREATE EXTENSION {};", Ident(name)))
        .collect();
    Error::new(
        ErrorKind::ExtensionInstall,
        format!(
            "the extension{plural} {} {need} a superuser to install, which this role is not: {}",
            names.join(", "),
            if names.len() == 1 {
                "it is not a trusted extension"
            } else {
                "they are not trusted extensions"
            }
        ),
    )
    .with_help(format!(
        "have a superuser run `{}` in the server's database template1, which ebbtide then copies; \
         or name a superuser in the URL, or use another backend",
        create.join(" ")
    ))
}

/// The error for extensions that the server does not have, with the package of each.
async fn unavailable(connection: &mut PgConnection, missing: &[&str]) -> Error {
    let version: Result<String, _> = sqlx::query_scalar("select current_setting('server_version')")
        .fetch_one(&mut *connection)
        .await;
    let major = connection.server_version_num().unwrap_or_default() / 10_000;
    let remedies: Vec<String> = missing
        .iter()
        .map(|name| format!("{name}: {}", statement_help::package_of(name, major)))
        .collect();
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
