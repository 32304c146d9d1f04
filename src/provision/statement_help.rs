//! Help for refused statements of migrations and seeds whose cause PostgreSQL cannot report.

use super::creators::creators_of;
use super::sql_script::Script;
use crate::sql_error;
use crate::test_error_help::help_for_missing_extension;

/// The help for a refused statement, by its SQLSTATE. `migrations` is empty for seeds.
/// The codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn help_for(code: &str, message: &str, migrations: &[Script]) -> Option<String> {
    let object = message
        .split('"')
        .nth(1)
        .or_else(|| message.strip_prefix("function ")?.split('(').next());
    match code {
        // undefined_object
        "42704" if message.starts_with("role ") => Some(format!(
            "create the role {} in a file of the bootstrap (key provision.bootstrap), or in an \
             earlier migration; a dump needs no role with `pg_dump --no-owner --no-privileges`",
            object?
        )),
        // invalid_catalog_name
        "3D000" => Some(
            "a test's database has a name of its own: use current_database(), as in do $$ begin \
             execute format('grant connect on database %I to app', current_database()); end $$"
                .to_owned(),
        ),
        // feature_not_supported
        "0A000" if message.starts_with("cross-database references") => Some(
            "a test's database has a name of its own: write schema.table, without a database"
                .to_owned(),
        ),
        // invalid_schema_name
        "3F000" if message.starts_with("no schema has been selected") => Some(
            "a statement before this one has emptied search_path: write schema.table, or set \
             search_path again"
                .to_owned(),
        ),
        "3F000" => Some(format!(
            "create the schema {} in an earlier migration, or in a file of the bootstrap (key \
             provision.bootstrap)",
            object?
        )),
        // unsafe_new_enum_value_usage
        "55P04" => Some(
            "PostgreSQL allows a new enum value only after a commit: move ALTER TYPE .. ADD VALUE \
             into an earlier migration of its own"
                .to_owned(),
        ),
        // active_sql_transaction
        "25001" => Some(
            "put this statement alone into a file that runs outside of a transaction: first line \
             `-- no-transaction` (layouts sqlx and sql), `run_in_transaction = false` in \
             metadata.toml (diesel), `-- migrate:up transaction:false` (dbmate), `-- +goose NO \
             TRANSACTION` (goose) or `-- +migrate Up notransaction` (sql-migrate); refinery runs \
             every file in a transaction"
                .to_owned(),
        ),
        "42704" if message.starts_with("collation ") => Some(collation_help(object?)),
        // undefined_object, undefined_function
        "42704" | "42883" => help_for_missing_extension(message),
        // undefined_table: PostgreSQL also reports it for an alias that is in no FROM clause, with
        // another message.
        "42P01" if !message.starts_with("relation ") => None,
        // Seeds run after all migrations, so the order of the migrations cannot be the cause.
        "42P01" if migrations.is_empty() => Some(
            "a migration must create it: check the spelling of its name, and its schema".to_owned(),
        ),
        "42P01" => Some(creator_help(object?, migrations)),
        // duplicate_object
        "42710" if message.starts_with("extension ") => Some(
            "it exists before the migrations, because `extensions` declares it or another \
             extension requires it: write CREATE EXTENSION IF NOT EXISTS, or remove it from \
             `extensions`"
                .to_owned(),
        ),
        // duplicate_schema
        "42P06" => Some(
            "two migrations create it, or `extensions` names it as the schema of an extension: \
             write CREATE SCHEMA IF NOT EXISTS"
                .to_owned(),
        ),
        // duplicate_table, duplicate_object
        "42P07" | "42710" => Some(
            "two migrations create it, or one creates it twice: remove one of the statements"
                .to_owned(),
        ),
        // object_in_use
        "55006" if message.contains("already in use as a tablespace") => Some(
            "another server has a tablespace in this directory; the server of an earlier version \
             of these migrations removes its tablespace when it ends, `linger` after its last \
             test: wait for that, or use a place below the data directory \
             (SET allow_in_place_tablespaces = on; CREATE TABLESPACE .. LOCATION '', \
             from PostgreSQL 15 on)"
                .to_owned(),
        ),
        // insufficient_privilege; feature_not_supported, for COPY
        "42501" | "0A000" => privilege_help(message),
        // disk_full
        "53100" => Some(sql_error::DISK_FULL_HELP.to_owned()),
        _ => None,
    }
}

/// Help for a missing collation. A server has those of the locales that its machine had when
/// `initdb` ran. <https://www.postgresql.org/docs/current/collation.html#COLLATION-MANAGING>
/// The help for a statement that the session's role may not execute.
fn privilege_help(message: &str) -> Option<String> {
    let help = if message.contains("row-level security") {
        "FORCE ROW LEVEL SECURITY restricts the owner of the table, too: set what the policy reads \
         before the rows are written (SELECT set_config(..)), write them with INSERT and not with \
         COPY or CSV, or force row level security in a migration after them"
    } else if message.starts_with("permission denied") || message.starts_with("must be") {
        "the session's role lacks the privilege: grant it in an earlier migration, or move the \
         statement into a file of provision.bootstrap, which runs as ebbtide's own role"
    } else {
        return None;
    };
    Some(help.to_owned())
}

fn collation_help(collation: &str) -> String {
    format!(
        "a server has the collations of the locales of its machine: generate the locale there \
         (Debian, Ubuntu: `locale-gen`), use an image that has it, or use a collation of ICU, such \
         as \"es-x-icu\"; `select collname from pg_collation` lists them, without {collation}"
    )
}

/// Help for a missing relation: the migration that creates it, which has not run yet, or that none
/// does.
fn creator_help(relation: &str, migrations: &[Script]) -> String {
    let creators = creators_of(relation, migrations);
    if creators.is_empty() {
        return format!(
            "no migration creates {relation}: check for a missing file or a misspelt name"
        );
    }
    let places: Vec<String> = creators
        .iter()
        .map(|(name, line)| format!("{name}:{line}"))
        .collect();
    format!(
        "{relation} is created at {}, after this statement: check the order of the versions",
        places.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_for_a_missing_operator_class_names_its_extension() {
        let message = "operator class \"gin_trgm_ops\" does not exist for access method \"gin\"";
        let help = help_for("42704", message, &[]).expect("there is help");
        assert!(help.contains("extensions = [\"pg_trgm\"]"), "{help}");
        let help = help_for("42883", "function uuid_generate_v4() does not exist", &[])
            .expect("there is help");
        assert!(help.contains("uuid-ossp"), "{help}");
    }

    #[test]
    fn the_help_for_a_tablespace_of_another_server_names_linger() {
        let message = "directory \"/srv/fast/PG_15_202209061\" already in use as a tablespace";
        let help = help_for("55006", message, &[]).expect("there is help");
        assert!(help.contains("`linger` after its last test"), "{help}");
        assert_eq!(
            help_for(
                "55006",
                "database \"x\" is being accessed by other users",
                &[]
            ),
            None
        );
    }

    #[test]
    fn the_help_for_a_missing_relation_names_the_migration_that_creates_it() {
        let scripts = [Script::new(
            "2_users.sql",
            "-- later\ncreate table users (id int);",
        )];
        let help = help_for("42P01", "relation \"users\" does not exist", &scripts)
            .expect("there is help");
        assert!(
            help.starts_with("users is created at 2_users.sql:2, "),
            "{help}"
        );
        let help = help_for("42P01", "relation \"ghosts\" does not exist", &scripts)
            .expect("there is help");
        assert!(help.starts_with("no migration creates ghosts"), "{help}");
    }
}
