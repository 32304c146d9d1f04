//! Creates the roles of a plan before the database that they use.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::config::{Plan, Role};
use crate::conn::ConnParams;
use crate::error::Result;
use crate::names::{Ident, Literal, ROLE_LOCK_KEY};
use crate::provision::DatabaseOwner;
use crate::role_error::{self, ServerOwner};
use crate::server::Server;
use crate::sql_error;

/// How sessions log in as the role of `provision.owner`.
pub(super) struct OwnerSession {
    role: String,
    conn: ConnParams,
    server_owner: ServerOwner,
    password: Option<String>,
}

impl OwnerSession {
    /// `None` if ebbtide's own role owns the database.
    pub(super) fn of(server: &Server, plan: &Plan) -> Result<Option<Self>> {
        let role = plan
            .owner
            .as_deref()
            .filter(|role| *role != server.conn.user());
        let session = |role: &str| {
            Ok(Self {
                role: role.to_owned(),
                conn: server.conn_of_role(role, plan)?.read_write(),
                server_owner: server.owner(),
                password: server.role_password(),
            })
        };
        role.map(session).transpose()
    }

    pub(super) fn database_owner(&self) -> DatabaseOwner<'_> {
        DatabaseOwner {
            role: &self.role,
            conn: &self.conn,
            server_owner: self.server_owner,
            password: self.password.as_deref(),
        }
    }
}

/// Makes the roles of the plan exist with their attributes and memberships.
///
/// A server that ebbtide has started may have them from an earlier build. Plans with other roles do
/// not share the server, so the roles have the same definition; a test may have changed them.
///
/// # Errors
/// A role does not exist on an external server, or the server refuses a statement.
pub(super) async fn ensure(server: &Server, plan: &Plan, admin: &mut PgConnection) -> Result<()> {
    let roles = plan.roles.get();
    if roles.is_empty() {
        return Ok(());
    }
    if server.owner() == ServerOwner::User {
        return require(roles, admin).await;
    }
    let mut message = format!("begin; select pg_catalog.pg_advisory_xact_lock({ROLE_LOCK_KEY}); ");
    for role in roles {
        message.push_str(&definition(role, server.role_password().as_deref()));
    }
    message.push_str("commit");
    let created = sqlx::raw_sql(AssertSqlSafe(message))
        .execute(&mut *admin)
        .await;
    if created.is_err() {
        // The first error is the one to report.
        let _ = sqlx::raw_sql("rollback").execute(admin).await;
    }
    created
        .map(drop)
        .map_err(|error| sql_error::failed("creating the roles of provision.roles", error))
}

/// The statements that create a role, or give an existing one its attributes again.
fn definition(role: &Role, password: Option<&str>) -> String {
    let name = Ident(&role.name);
    let password = password.map_or(String::new(), |password| {
        format!(" password {}", Literal(password))
    });
    let attributes = "login nosuperuser nobypassrls nocreatedb nocreaterole noreplication inherit";
    let mut statements = format!(
        "do {}; alter role {name} {attributes}{password}; ",
        Literal(&format!(
            "begin if not exists (select from pg_catalog.pg_roles where rolname = {}) then \
             create role {name}; end if; end",
            Literal(&role.name)
        )),
    );
    for group in &role.member_of {
        write!(statements, "grant {} to {name}; ", Ident(group))
            .expect("writing to a string does not fail");
    }
    statements
}

/// Checks that an external server has the roles. Ebbtide creates none there: they would stay.
async fn require(roles: &[Role], admin: &mut PgConnection) -> Result<()> {
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let missing: Option<String> = sqlx::query_scalar(
        "select name from unnest($1::text[]) with ordinality n(name, at) \
         where not exists (select from pg_roles where rolname = name) order by at limit 1",
    )
    .bind(&names)
    .fetch_optional(admin)
    .await
    .map_err(|error| sql_error::failed("looking for the roles of provision.roles", error))?;
    missing.map_or(Ok(()), |role| {
        Err(role_error::missing(&role, ServerOwner::User))
    })
}
