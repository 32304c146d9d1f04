//! The settings of our own sessions.
//!
//! `settings` of the plan, `ALTER ROLE`, `ALTER DATABASE` and `ALTER SYSTEM` decide what a session begins with. Sessions
//! that run the user's SQL begin with just that. Our administrative sessions name what they need when they connect, which
//! beats all of those
//! (<https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-OTHER-INTERFACES>). The server refuses a
//! connection that names a parameter it does not have, so newer parameters wait until its version is known.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Executor as _};

use super::{ConnParams, open};
use crate::error::Result;
use crate::names::Literal;
use crate::sql_error;

/// What is known of a server, and of our role on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) version_num: u32,
    pub(crate) role: RoleKind,
}

/// What our role may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleKind {
    Superuser,
    Ordinary,
}

/// A parameter that our sessions name, nearly always with PostgreSQL's own default. Event triggers are off: those of the
/// user's would fire for a login of ours, and for what we make.
struct Own {
    name: &'static str,
    value: &'static str,
    /// The first version that has it.
    since: u32,
    /// Whether only superusers may set it.
    is_reserved: bool,
}

const fn own(name: &'static str, value: &'static str) -> Own {
    Own {
        name,
        value,
        since: 0,
        is_reserved: false,
    }
}

/// Everything that could end, refuse or change what our own sessions do.
/// <https://www.postgresql.org/docs/current/runtime-config-client.html>
const OWN: [Own; 32] = [
    own("statement_timeout", "0"),
    own("lock_timeout", "0"),
    own("idle_in_transaction_session_timeout", "0"),
    Own {
        since: 140_000,
        ..own("idle_session_timeout", "0")
    },
    Own {
        since: 170_000,
        ..own("transaction_timeout", "0")
    },
    own("exit_on_error", "off"),
    own("role", "none"),
    own("search_path", "\"$user\",public"),
    own("default_transaction_read_only", "off"),
    own("default_transaction_isolation", "read committed"),
    own("default_transaction_deferrable", "off"),
    own("default_tablespace", ""),
    own("temp_tablespaces", ""),
    Own {
        since: 120_000,
        ..own("default_table_access_method", "heap")
    },
    own("standard_conforming_strings", "on"),
    own("escape_string_warning", "on"),
    own("backslash_quote", "safe_encoding"),
    own("quote_all_identifiers", "off"),
    own("array_nulls", "on"),
    own("transform_null_equals", "off"),
    own("bytea_output", "hex"),
    own("xmlbinary", "base64"),
    own("intervalstyle", "postgres"),
    own("row_security", "on"),
    own("check_function_bodies", "on"),
    own("client_min_messages", "notice"),
    own("plpgsql.extra_errors", "none"),
    own("plpgsql.extra_warnings", "none"),
    Own {
        since: 150_000,
        ..own("stats_fetch_consistency", "cache")
    },
    Own {
        is_reserved: true,
        ..own("session_replication_role", "origin")
    },
    Own {
        is_reserved: true,
        ..own("plpgsql.variable_conflict", "error")
    },
    Own {
        since: 170_000,
        is_reserved: true,
        ..own("event_triggers", "off")
    },
];

impl Own {
    fn fits(&self, known: Option<Known>) -> bool {
        let role_fits =
            !self.is_reserved || known.is_some_and(|known| known.role == RoleKind::Superuser);
        role_fits && known.map_or(0, |known| known.version_num) >= self.since
    }
}

impl ConnParams {
    /// The same server, now that its version and our role's rights are known.
    pub(crate) fn knowing(self, known: Known) -> Self {
        Self {
            known: Some(known),
            ..self
        }
    }

    /// Options for an administrative session of ours: what the server, the database or the role sets by default does not
    /// change what it does.
    pub(crate) fn own_options(&self, database: &str) -> PgConnectOptions {
        let settings = OWN
            .iter()
            .filter(|own| own.fits(self.known))
            .map(|own| (own.name, own.value));
        self.options(database).options(settings)
    }

    /// The same, connected.
    pub(crate) async fn connect_own(&self, database: &str) -> Result<PgConnection> {
        open(&self.own_options(database)).await.map_err(|error| {
            sql_error::failed(&format!("connecting to database {database}"), error)
        })
    }

    /// Sets what a session that was opened before the server was known could not name.
    pub(crate) async fn catch_up(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let late = OWN
            .iter()
            .filter(|own| own.fits(self.known) && !own.fits(None));
        let values = late.map(|own| format!("({}, {})", Literal(own.name), Literal(own.value)));
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

    fn named(known: Option<Known>) -> String {
        let params = ConnParams::socket(Path::new("/tmp/x"), "postgres");
        let params = known.map_or(params.clone(), |known| params.knowing(known));
        params
            .own_options("postgres")
            .get_options()
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn a_server_is_asked_for_nothing_that_it_or_the_role_may_refuse() {
        let unknown = named(None);
        for name in [
            "idle_session_timeout",
            "transaction_timeout",
            "session_replication_role",
            "event_triggers",
        ] {
            assert!(!unknown.contains(name), "{unknown}");
        }
        let ordinary = named(Some(Known {
            version_num: 170_000,
            role: RoleKind::Ordinary,
        }));
        assert!(
            ordinary.contains("-c transaction_timeout=0") && !ordinary.contains("event_triggers"),
            "{ordinary}"
        );
        let older = named(Some(Known {
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
    fn sessions_of_the_users_sql_name_nothing() {
        let params = ConnParams::socket(Path::new("/tmp/x"), "postgres");
        assert_eq!(params.options("postgres").get_options(), None);
    }
}
