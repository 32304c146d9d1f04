//! The queries of the views that the end of each test reads.

use sqlx::postgres::PgConnection;

use crate::catalog;
use crate::names::Literal;

const REWOUND_SQL: &str = include_str!("rewound.sql");

/// A regular expression for prepared statements that change a session in a way that no command
/// resets: `set_config`, `SET a.b`, and `LOAD`.
const SESSION_CHANGING_STATEMENTS: &str =
    r#"\mset_config\M|\mset\s+((local|session)\s+)?["\w]+\s*\.|^\s*load\M"#;

/// One setting of each library that tests load for a session. The setting has a value once the
/// library is loaded, and a library cannot be unloaded.
const LIBRARY_SETTINGS: [&str; 2] = ["auto_explain.log_min_duration", "pg_hint_plan.enable_hint"];

/// The queries of the views `_ebbtide.rewound` and `_ebbtide.rewound_of_role`. The first is for
/// sessions of the role that seals the template, and the second for sessions of any other role.
pub(super) struct RewoundQueries {
    pub(super) of_owner: String,
    pub(super) of_role: String,
}

impl RewoundQueries {
    /// Which settings a test may change depends on the template: the custom settings that its own
    /// objects mention, with their values in a new session.
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut custom = catalog::custom_settings(connection).await?;
        for setting in LIBRARY_SETTINGS {
            custom.push(catalog::custom_setting(connection, setting).await?);
        }
        // One condition for each setting: a subquery over a list would be planned at the end of
        // each test.
        let database: String = sqlx::query_scalar("select current_database()::text")
            .fetch_one(&mut *connection)
            .await?;
        let changed = custom.iter().map(|setting| {
            let value = setting
                .value
                .as_deref()
                .map_or("null".to_owned(), |value| value_in_lane(value, &database));
            format!(
                " or current_setting({}, true) is distinct from ({value})",
                Literal(&setting.name)
            )
        });
        let custom_settings: String = changed.collect();
        let keeps_state = catalog::keeps_session_state(connection).await?;
        let query = REWOUND_SQL
            .replace("{keeps_state}", if keeps_state { "true" } else { "false" })
            .replace(
                "{session_changing_statements}",
                &Literal(SESSION_CHANGING_STATEMENTS).to_string(),
            )
            .replace("{custom_settings}", &custom_settings);
        // A replication origin serves one session at a time, so the view resets it at once instead
        // of waiting until the session is replaced. Only a superuser may call these functions.
        let origin = if catalog::is_superuser(connection).await? {
            "case when pg_replication_origin_session_is_setup() then pg_replication_origin_session_reset()::text = '' else false end"
        } else {
            "false"
        };
        let with = |origin: &str, set_sequence: &str| {
            query
                .replace("{origin}", origin)
                .replace("{set_sequence}", set_sequence)
        };
        Ok(Self {
            of_owner: with(origin, "setval"),
            of_role: with("false", "_ebbtide.set_sequence"),
        })
    }
}

/// The value of a setting as SQL. Where the value has the name of the build database, the setting of
/// a lane has the lane's name.
fn value_in_lane(value: &str, build: &str) -> String {
    if value.contains(build) {
        let parts = value.split(build).map(|part| Literal(part).to_string());
        parts.collect::<Vec<_>>().join(" || current_database() || ")
    } else {
        Literal(value).to_string()
    }
}
