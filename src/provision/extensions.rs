//! Extensions: checks that they are available, installs them, and looks for them in the catalog.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::extension_help;
use crate::catalog;
use crate::config::Extension;
use crate::error::{Error, ErrorKind, Result};
use crate::names::{Ident, Literal};
use crate::sql_error;

/// Installs every extension, in the given order.
pub(super) async fn install(connection: &mut PgConnection, all: &[Extension]) -> Result<()> {
    // Every extension is looked for before the first is installed, so one run reports all missing
    // ones.
    let mut missing = Vec::new();
    for Extension { name, .. } in all {
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
    for extension in all {
        check_version(connection, extension).await?;
        let name = &extension.name;
        for create in statements(extension) {
            let created = sqlx::raw_sql(AssertSqlSafe(create))
                .execute(&mut *connection)
                .await;
            created.map_err(|error| refused(extension, error))?;
        }
        let Some(installed) = Installed::read(connection, name).await? else {
            return Err(Error::new(
                ErrorKind::ExtensionInstall,
                format!("the extension {name} was installed, but pg_extension does not list it"),
            ));
        };
        installed.check(extension)?;
    }
    Ok(())
}

/// The statements that install an extension, unless it exists already.
fn statements(extension: &Extension) -> Vec<String> {
    let mut create = format!("create extension if not exists {}", Ident(&extension.name));
    let mut all = Vec::new();
    if let Some(schema) = &extension.schema {
        // CREATE EXTENSION requires that the schema exists.
        all.push(format!("create schema if not exists {}", Ident(schema)));
        create = format!("{create} schema {}", Ident(schema));
    }
    if let Some(version) = &extension.version {
        create = format!("{create} version {}", Literal(version));
    }
    if extension.has_cascade {
        // CASCADE also installs the extensions that this one requires.
        // <https://www.postgresql.org/docs/current/sql-createextension.html>
        create += " cascade";
    }
    all.push(create);
    all
}

/// What the database has of an extension.
struct Installed {
    version: String,
    schema: String,
}

impl Installed {
    async fn read(connection: &mut PgConnection, name: &str) -> Result<Option<Self>> {
        let found: Option<(String, String)> = sqlx::query_as(
            "select extversion, nspname::text from pg_extension e \
             join pg_namespace n on n.oid = e.extnamespace where extname = $1",
        )
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(|error| sql_error::failed("reading extensions back", error))?;
        Ok(found.map(|(version, schema)| Self { version, schema }))
    }

    /// Checks that an extension which was installed already is the declared one.
    fn check(&self, extension: &Extension) -> Result<()> {
        let Self { version, schema } = self;
        let differs = |found: &String, wanted: &Option<String>| {
            wanted.as_ref().is_some_and(|wanted| wanted != found)
        };
        if !differs(version, &extension.version) && !differs(schema, &extension.schema) {
            return Ok(());
        }
        let message = format!(
            "the extension {} must be installed as \"{extension}\", but the database has version \
             {version} of it in the schema {schema} already",
            extension.name
        );
        Err(Error::new(ErrorKind::ExtensionInstall, message).with_help(
            "an extension before it in the list requires it, or the server's template1 has it: \
             write it first in the list, or declare it as it is installed",
        ))
    }
}

/// Checks that the server has the declared version.
async fn check_version(connection: &mut PgConnection, extension: &Extension) -> Result<()> {
    let Extension { name, version, .. } = extension;
    let Some(version) = version else {
        return Ok(());
    };
    let versions: Vec<String> = sqlx::query_scalar(
        "select version from pg_available_extension_versions where name = $1 order by version",
    )
    .bind(name)
    .fetch_all(connection)
    .await
    .map_err(|error| sql_error::failed("looking for an extension's versions", error))?;
    if versions.contains(version) {
        return Ok(());
    }
    let message = format!("the server does not have version {version} of the extension {name}");
    Err(
        Error::new(ErrorKind::ExtensionUnavailable, message).with_help(format!(
            "declare one of its versions, or none for the default: {}",
            versions.join(", ")
        )),
    )
}

/// The error for an extension that the server refused to install.
fn refused(extension: &Extension, error: sqlx::Error) -> Error {
    let name = &extension.name;
    let help = match sql_error::code(&error) {
        // insufficient_privilege. The extensions of the plan were checked before the build, so this
        // one is an extension that CASCADE installs.
        Some("42501") => {
            return superuser_required(std::slice::from_ref(name)).with_source(error);
        }
        // undefined_object
        Some("42704") if !extension.has_cascade => {
            "declare the extension that it requires before it, or install both by cascade"
        }
        // feature_not_supported: the extension has a fixed schema.
        Some("0A000") if extension.schema.is_some() => {
            "declare the extension without a schema: it can be in its own schema only"
        }
        _ => {
            "the server's files for it may be incomplete or of another version: reinstall its \
             package"
        }
    };
    Error::new(
        ErrorKind::ExtensionInstall,
        format!("the extension {name} could not be installed"),
    )
    .with_source(error)
    .with_help(help)
}

/// The extensions that this role may not install: the role is not a superuser, and the extensions
/// are not trusted.
/// <https://www.postgresql.org/docs/current/view-pg-available-extension-versions.html>
pub(crate) async fn extensions_needing_superuser(
    connection: &mut PgConnection,
    all: &[Extension],
) -> Result<Vec<String>> {
    let query = "select v.name::text from unnest($1::text[], $2::text[]) \
         with ordinality as wanted (name, version, place) \
         join pg_available_extensions a on a.name = wanted.name \
         join pg_available_extension_versions v on v.name = a.name \
         and v.version = coalesce(wanted.version, a.default_version) \
         where v.superuser and not v.trusted \
         and not (select rolsuper from pg_roles where rolname = current_user) \
         order by wanted.place";
    let names: Vec<&str> = all.iter().map(|extension| &*extension.name).collect();
    let versions: Vec<Option<&str>> = all
        .iter()
        .map(|extension| extension.version.as_deref())
        .collect();
    sqlx::query_scalar(query)
        .bind(names)
        .bind(versions)
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
        .map(|name| format!("{name}: {}", extension_help::package_of(name, Some(major))))
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
