//! The parameters of ebbtide's administrative sessions.
//!
//! The plan's `settings`, `ALTER ROLE`, `ALTER DATABASE` and `ALTER SYSTEM` determine the
//! parameters that a session begins with. A session that runs the user's SQL keeps them. The
//! start-up packet of an administrative session sets what the session needs. These settings
//! override all others
//! (<https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-OTHER-INTERFACES>).
//!
//! The server refuses a connection that names a parameter it does not have, or one that the role
//! may not set. So the first connection names only parameters that every supported version has and
//! every role may set. The others follow once the version and the role are known.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Executor as _};

use super::version_and_role::{RoleKind, VersionAndRole};
use super::{ConnParams, open};
use crate::error::Result;
use crate::names::Literal;
use crate::sql_error;

/// A parameter that administrative sessions set, nearly always to PostgreSQL's own default.
///
/// `event_triggers` is the exception: the user's triggers would fire for our logins and for the
/// objects that we create.
struct Parameter {
    name: &'static str,
    value: &'static str,
    /// The first version that has it, as in `server_version_num`.
    since: u32,
    /// Whether only superusers may set it.
    is_reserved: bool,
}

const fn parameter(name: &'static str, value: &'static str) -> Parameter {
    Parameter {
        name,
        value,
        since: 0,
        is_reserved: false,
    }
}

/// Every parameter that could end, refuse or change the statements of administrative sessions.
/// <https://www.postgresql.org/docs/current/runtime-config-client.html>
const PARAMETERS: [Parameter; 32] = [
    parameter("statement_timeout", "0"),
    parameter("lock_timeout", "0"),
    parameter("idle_in_transaction_session_timeout", "0"),
    Parameter {
        since: 140_000,
        ..parameter("idle_session_timeout", "0")
    },
    Parameter {
        since: 170_000,
        ..parameter("transaction_timeout", "0")
    },
    parameter("exit_on_error", "off"),
    parameter("role", "none"),
    parameter("search_path", "\"$user\",public"),
    parameter("default_transaction_read_only", "off"),
    parameter("default_transaction_isolation", "read committed"),
    parameter("default_transaction_deferrable", "off"),
    parameter("default_tablespace", ""),
    parameter("temp_tablespaces", ""),
    Parameter {
        since: 120_000,
        ..parameter("default_table_access_method", "heap")
    },
    parameter("standard_conforming_strings", "on"),
    parameter("escape_string_warning", "on"),
    parameter("backslash_quote", "safe_encoding"),
    parameter("quote_all_identifiers", "off"),
    parameter("array_nulls", "on"),
    parameter("transform_null_equals", "off"),
    parameter("bytea_output", "hex"),
    parameter("xmlbinary", "base64"),
    parameter("intervalstyle", "postgres"),
    parameter("row_security", "on"),
    parameter("check_function_bodies", "on"),
    parameter("client_min_messages", "notice"),
    parameter("plpgsql.extra_errors", "none"),
    parameter("plpgsql.extra_warnings", "none"),
    Parameter {
        since: 150_000,
        ..parameter("stats_fetch_consistency", "cache")
    },
    Parameter {
        is_reserved: true,
        ..parameter("session_replication_role", "origin")
    },
    Parameter {
        is_reserved: true,
        ..parameter("plpgsql.variable_conflict", "error")
    },
    Parameter {
        since: 170_000,
        is_reserved: true,
        ..parameter("event_triggers", "off")
    },
];

impl Parameter {
    /// Whether a session may name the parameter. Without knowledge of the server, the answer holds
    /// for every server and role.
    fn is_allowed(&self, known: Option<VersionAndRole>) -> bool {
        let by_role =
            !self.is_reserved || known.is_some_and(|known| known.role == RoleKind::Superuser);
        by_role && known.map_or(0, |known| known.version_num) >= self.since
    }
}

impl ConnParams {
    /// The same server, with its version and our role's kind, which a connection has shown.
    pub(crate) fn with_version_and_role(self, known: VersionAndRole) -> Self {
        Self {
            version_and_role: Some(known),
            ..self
        }
    }

    /// The driver's options for an administrative session.
    ///
    /// Defaults of the server, the database or the role do not affect such a session.
    pub(crate) fn own_options(&self, database: &str) -> PgConnectOptions {
        let settings = PARAMETERS
            .iter()
            .filter(|parameter| parameter.is_allowed(self.version_and_role))
            .map(|parameter| (parameter.name, parameter.value));
        self.options(database).options(settings)
    }

    /// Connects an administrative session.
    pub(crate) async fn connect_own(&self, database: &str) -> Result<PgConnection> {
        open(&self.own_options(database)).await.map_err(|error| {
            sql_error::failed(&format!("connecting to database {database}"), error)
        })
    }

    /// Sets the parameters that the session could not name when it connected, because the server's
    /// version and our role were not known yet.
    pub(crate) async fn set_remaining_parameters(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let remaining = PARAMETERS.iter().filter(|parameter| {
            parameter.is_allowed(self.version_and_role) && !parameter.is_allowed(None)
        });
        let values = remaining.map(|parameter| {
            let (name, value) = (Literal(parameter.name), Literal(parameter.value));
            format!("({name}, {value})")
        });
        let values = values.collect::<Vec<_>>().join(", ");
        if values.is_empty() {
            return Ok(());
        }
        let set = format!(
            "select set_config(t.name, t.value, false) from (values {values}) t (name, value)"
        );
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(set)))
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn options_for(known: Option<VersionAndRole>) -> String {
        let params = ConnParams::socket(Path::new("/tmp/x"), "postgres");
        let params = known.map_or(params.clone(), |known| params.with_version_and_role(known));
        params
            .own_options("postgres")
            .get_options()
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn a_session_names_no_parameter_that_the_server_or_the_role_refuses() {
        let unknown = options_for(None);
        for name in [
            "idle_session_timeout",
            "transaction_timeout",
            "session_replication_role",
            "event_triggers",
        ] {
            assert!(!unknown.contains(name), "{unknown}");
        }
        let ordinary = options_for(Some(VersionAndRole {
            version_num: 170_000,
            role: RoleKind::Ordinary,
        }));
        assert!(
            ordinary.contains("-c transaction_timeout=0") && !ordinary.contains("event_triggers"),
            "{ordinary}"
        );
        let older = options_for(Some(VersionAndRole {
            version_num: 150_002,
            role: RoleKind::Superuser,
        }));
        assert!(
            older.contains("idle_session_timeout=0")
                && older.contains("session_replication_role=origin"),
            "{older}"
        );
        assert!(!older.contains("transaction_timeout"), "{older}");
    }

    #[test]
    fn sessions_for_the_users_sql_have_no_parameters_of_ours() {
        let params = ConnParams::socket(Path::new("/tmp/x"), "postgres");
        assert_eq!(params.options("postgres").get_options(), None);
    }
}
