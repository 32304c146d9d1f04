//! The errors of a role as which ebbtide's sessions cannot log in.

use crate::error::{Error, ErrorKind};
use crate::names::{Ident, Literal};
use crate::sql_error;

/// Whether ebbtide has started the server, and so may create roles and set passwords on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerOwner {
    Ebbtide,
    User,
}

/// A role that does not exist.
pub(crate) fn missing(role: &str, owner: ServerOwner) -> Error {
    let help = match owner {
        ServerOwner::Ebbtide => format!(
            "add {role:?} to provision.roles in ebbtide.toml, or create it in a file of \
             provision.bootstrap"
        ),
        ServerOwner::User => {
            let role = Ident(role);
            format!(
                "have a superuser run `CREATE ROLE {role} LOGIN; GRANT {role} TO CURRENT_USER;`"
            )
        }
    };
    Error::new(
        ErrorKind::AccessDenied,
        format!("the role {role:?} does not exist on the server"),
    )
    .with_help(help)
}

/// A role without the attribute LOGIN.
pub(crate) fn no_login(role: &str) -> Error {
    Error::new(
        ErrorKind::AccessDenied,
        format!("sessions must log in as the role {role:?}, which may not log in"),
    )
    .with_help(format!(
        "run `ALTER ROLE {} LOGIN` where the role is created, or name a role that has LOGIN and is \
         a member of this one",
        Ident(role)
    ))
}

/// A role without the privilege CONNECT on the database.
pub(crate) fn no_connect(role: &str) -> Error {
    Error::new(
        ErrorKind::AccessDenied,
        format!("the role {role:?} has no privilege to connect to the database"),
    )
    .with_help(format!(
        "grant it in a migration, for example: DO $$ BEGIN EXECUTE format('GRANT CONNECT ON \
         DATABASE %I TO %I', current_database(), {}); END $$;",
        Literal(role)
    ))
}

/// A role whose login the server refuses for another reason.
pub(crate) fn refused(role: &str, owner: ServerOwner, error: sqlx::Error) -> Error {
    if sql_error::kind_of(&error, ErrorKind::Database) != ErrorKind::Database {
        return sql_error::failed(&format!("logging in as the role {role:?}"), error);
    }
    let help = match owner {
        ServerOwner::Ebbtide => {
            "the server's message names the cause: for example VALID UNTIL, CONNECTION LIMIT or a \
             setting of the role"
        }
        ServerOwner::User => {
            "set the role's password as EBBTIDE_ROLE_PASSWORD or in the driver's password file, and \
             allow the role in pg_hba.conf"
        }
    };
    Error::new(
        ErrorKind::AccessDenied,
        format!("the server rejects the login of the role {role:?}"),
    )
    .with_source(error)
    .with_help(help)
}

/// A role of whose objects or sessions the server's role must be a member, and is not.
pub(crate) fn no_member(role: &str, error: sqlx::Error) -> Error {
    let name = Ident(role);
    Error::new(
        ErrorKind::AccessDenied,
        format!("the server's role must be a member of {role:?}"),
    )
    .with_source(error)
    .with_help(format!(
        "have a superuser run `GRANT {name} TO` the role of the server's URL"
    ))
}
