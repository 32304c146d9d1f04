//! Gives the database to the role of `provision.owner`, and the roles their privileges.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::inputs::{Inputs, MigrationInputs};
use super::target::Target;
use crate::config::Plan;
use crate::conn::{self, ConnParams};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{Ident, Literal, ROLE_LOCK_KEY};
use crate::role_error::{self, ServerOwner};
use crate::sql_error;

/// The role that owns the database, and how its sessions log in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatabaseOwner<'a> {
    pub(crate) role: &'a str,
    pub(crate) conn: &'a ConnParams,
    pub(crate) server_owner: ServerOwner,
    /// The password to give to the role, on a server that ebbtide has started with one.
    pub(crate) password: Option<&'a str>,
}

impl DatabaseOwner<'_> {
    /// Makes the role the owner of the target's database, and replaces an administrative session
    /// by one of the role. The target's sessions are the role's from then on.
    ///
    /// # Errors
    /// The role does not exist or may not log in, or the server's role is no member of it.
    async fn take_over(
        &self,
        mut connection: PgConnection,
        target: Target<'_>,
    ) -> Result<PgConnection> {
        if self.password.is_some() {
            // The lock of the roles is one in the administrative database. As below, an error of
            // closing does not matter.
            let _ = connection.close().await;
            connection = target.conn.connect_own(target.conn.admin()).await?;
        }
        self.change_owner(&mut connection, target.database).await?;
        // The old session ends first, see `Target::new_session`. If closing fails, the server ends
        // it.
        let _ = connection.close().await;
        conn::open(&self.conn.options(target.database))
            .await
            .map_err(|error| role_error::refused(self.role, self.server_owner, error))
    }

    async fn change_owner(&self, connection: &mut PgConnection, database: &str) -> Result<()> {
        let failed = |error| sql_error::failed("changing the database's owner", error);
        let query = "select rolcanlogin from pg_roles where rolname = $1";
        let may_log_in: Option<bool> = sqlx::query_scalar(query)
            .bind(self.role)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
        match may_log_in {
            None => return Err(role_error::missing(self.role, self.server_owner)),
            Some(false) => return Err(role_error::no_login(self.role)),
            Some(true) => {}
        }
        let role = Ident(self.role);
        let password = self.password.map_or(String::new(), |password| {
            format!(
                "select pg_catalog.pg_advisory_xact_lock({ROLE_LOCK_KEY}); \
                 alter role {role} password {}; ",
                Literal(password)
            )
        });
        // One message is one transaction, so the lock lasts until its end.
        let message = format!(
            "{password}alter database {} owner to {role}",
            Ident(database)
        );
        let changed = sqlx::raw_sql(AssertSqlSafe(message))
            .execute(connection)
            .await;
        match changed {
            Ok(_) => Ok(()),
            // insufficient_privilege: https://www.postgresql.org/docs/current/sql-alterdatabase.html
            Err(error) if sql_error::code(&error) == Some("42501") => {
                Err(role_error::no_member(self.role, error))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Makes the owner, if there is one and it has not done so yet, take over the database.
///
/// # Errors
/// As for [`DatabaseOwner::take_over`].
pub(super) async fn hand_over<'a>(
    owner: &mut Option<DatabaseOwner<'a>>,
    connection: PgConnection,
    target: &mut Target<'a>,
) -> Result<PgConnection> {
    let Some(owner) = owner.take() else {
        return Ok(connection);
    };
    let connection = owner.take_over(connection, *target).await?;
    target.conn = owner.conn;
    Ok(connection)
}

/// What to do about a privilege on an object that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AbsentObject {
    Refuse,
    /// A later migration creates it.
    Skip,
}

impl AbsentObject {
    /// `Skip` for inputs without the last migrations of a source.
    pub(super) fn of(inputs: &Inputs) -> Self {
        if inputs.migrations.iter().any(MigrationInputs::is_part) {
            Self::Skip
        } else {
            Self::Refuse
        }
    }
}

/// Whether a role has privileges to be granted.
pub(super) fn has_grants(plan: &Plan) -> bool {
    plan.roles.iter().any(|role| !role.grants.is_empty())
}

/// Grants each role the privileges that the plan names.
///
/// # Errors
/// The server refuses a statement.
pub(super) async fn grant(
    connection: &mut PgConnection,
    plan: &Plan,
    absent: AbsentObject,
) -> Result<()> {
    let roles = plan.roles.get();
    for role in roles {
        for privileges in &role.grants {
            let grant = format!("grant {privileges} to {}", Ident(&role.name));
            let granted = sqlx::raw_sql(AssertSqlSafe(grant.clone()))
                .execute(&mut *connection)
                .await;
            match granted {
                Ok(_) => {}
                // undefined_table, undefined_object, undefined_function, invalid_schema_name
                Err(error)
                    if absent == AbsentObject::Skip
                        && matches!(
                            sql_error::code(&error),
                            Some("42P01" | "42704" | "42883" | "3F000")
                        ) => {}
                Err(error) => return Err(refused(&grant, error)),
            }
        }
    }
    Ok(())
}

fn refused(grant: &str, error: sqlx::Error) -> Error {
    if sql_error::kind_of(&error, ErrorKind::Database) != ErrorKind::Database {
        return sql_error::failed("granting the privileges of provision.roles", error);
    }
    Error::new(
        ErrorKind::Config,
        format!("the server refuses `{grant}` (provision.roles)"),
    )
    .with_source(error)
    .with_help(
        "an entry of `grants` is what GRANT has before TO, for example \"select, insert on all \
         tables in schema public\"; it runs after the migrations, as the owner of the database",
    )
}
