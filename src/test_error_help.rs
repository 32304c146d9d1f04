//! Help for SQL errors of a test. PostgreSQL cannot explain these errors: the cause is how the test
//! is isolated, or what the migrations lack.
//!
//! The codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use std::path::Path;

use crate::guard_names::COMMIT_REFUSED;
use crate::sql_error::DISK_FULL_HELP;

/// Well-known extensions with some of their objects. An error about a missing object leads to the
/// extension.
const EXTENSION_OBJECTS: [(&str, &[&str]); 12] = [
    (
        "pg_trgm",
        &[
            "gin_trgm_ops",
            "gist_trgm_ops",
            "similarity",
            "word_similarity",
            "show_trgm",
        ],
    ),
    (
        "uuid-ossp",
        &[
            "uuid_generate_v1",
            "uuid_generate_v1mc",
            "uuid_generate_v3",
            "uuid_generate_v4",
            "uuid_generate_v5",
        ],
    ),
    (
        "pgcrypto",
        &[
            "crypt",
            "gen_salt",
            "digest",
            "hmac",
            "pgp_sym_encrypt",
            "pgp_sym_decrypt",
        ],
    ),
    ("citext", &["citext"]),
    ("hstore", &["hstore"]),
    ("ltree", &["ltree", "lquery"]),
    ("unaccent", &["unaccent"]),
    (
        "btree_gist",
        &[
            "gist_int4_ops",
            "gist_int8_ops",
            "gist_text_ops",
            "gist_uuid_ops",
        ],
    ),
    ("btree_gin", &["int4_ops", "text_ops"]),
    ("intarray", &["gin__int_ops", "gist__int_ops"]),
    (
        "postgis",
        &["geometry", "geography", "st_makepoint", "st_distance"],
    ),
    (
        "vector",
        &["vector", "halfvec", "vector_cosine_ops", "vector_l2_ops"],
    ),
];

/// The extension that provides an object of this name.
fn extension_that_provides(object: &str) -> Option<&'static str> {
    EXTENSION_OBJECTS
        .into_iter()
        .find(|(_, objects)| objects.contains(&object))
        .map(|(extension, _)| extension)
}

/// Whether an extension is in the table, and so one of PostgreSQL's contrib modules. `postgis` and
/// `vector` are in the table too; the caller handles them first.
pub(crate) fn is_contrib(extension: &str) -> bool {
    EXTENSION_OBJECTS
        .iter()
        .any(|(known, _)| *known == extension)
}

/// How the test of a failed statement was isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Transaction,
    Sandbox,
    Database,
}

/// What to do about a statement that the tests' role may not execute, if tests log in as one.
pub(crate) fn help_for_role(code: &str, message: &str, role: &str) -> Option<String> {
    // insufficient_privilege
    if code != "42501" {
        return None;
    }
    let help = if message.contains("row-level security") {
        format!(
            "the policies allow no such row to the role {role:?}: set what they read, for example the \
             tenant, before the statement"
        )
    } else {
        format!(
            "the tests log in as the role {role:?} (test.role): grant it the privilege with `grants` in \
             provision.roles or in a migration; for this test alone, choose another role with `role = \"..\"` \
             or `Harness::as_role`"
        )
    };
    Some(help)
}

/// What to do about an error of a test's statement.
pub(crate) fn help_for_test_error(
    code: &str,
    message: &str,
    isolation: Isolation,
) -> Option<String> {
    let rolled_back = isolation != Isolation::Database;
    let help = match code {
        // in_failed_sql_transaction
        "25P02" if isolation == Isolation::Transaction => {
            "an earlier statement failed: fix the first error; if the code continues after an error on purpose, use \
             `tx.begin()`, `savepoints` or a `Sandbox`"
        }
        "25P02" => {
            "an earlier statement failed, and PostgreSQL refuses every other one until the application's transaction is \
             rolled back: fix the first error"
        }
        // active_sql_transaction
        "25001" if rolled_back && message.contains("cannot run inside a transaction block") => {
            "this statement must run outside a transaction, and the whole test runs inside one: give the test an \
             `ebbtide::Database`"
        }
        "25001" if rolled_back => {
            "the test's own transaction determines isolation level and access mode: give the test `isolation_level`, or \
             an `ebbtide::Database`"
        }
        code if code == COMMIT_REFUSED.0 && message.starts_with(COMMIT_REFUSED.1) => {
            "use `begin()` and `commit()` of sqlx, which become savepoints, or give the test an `ebbtide::Database`"
        }
        // read_only_sql_transaction
        "25006" if rolled_back => {
            "only the test's transaction may write, and this statement ran outside it: SQL has ended the transaction, or \
             this is another connection; give the test an `ebbtide::Database`"
        }
        // unsafe_new_enum_value_usage
        "55P04" if rolled_back => {
            "a new value of an enum can be used only after a commit: add it in a migration, or give the test an \
             `ebbtide::Database`"
        }
        // lock_not_available
        "55P03" => {
            "another session holds the lock: another connection of this test, or a worker that it started; the waits that \
             were observed are listed below"
        }
        // deadlock_detected
        "40P01" => {
            "two sessions waited for each other's locks: take locks in the same order everywhere, or retry the \
             transaction that failed"
        }
        // undefined_table. The same code is used for an alias that no FROM clause has.
        "42P01" if message.starts_with("relation ") => {
            "no migration, seed or fixture of this test has created it: is its name misspelt, or its schema not on the \
             search_path?"
        }
        // undefined_object, undefined_function
        "42704" | "42883" => return help_for_missing_extension(message),
        // unique_violation
        "23505" => {
            "the row is there already: from a seed, a fixture, or an earlier statement of this test; other tests' rows are \
             never seen"
        }
        // too_many_connections
        "53300" => {
            "close pools that the test opens, limit their connections, run fewer tests at once, or raise \
             `max_connections` in `server.settings`"
        }
        // disk_full
        "53100" => DISK_FULL_HELP,
        "57P01" if message.contains("postmaster") => {
            "the server's main process has ended: it was killed, perhaps by the system when memory ran out"
        }
        // admin_shutdown
        "57P01" => {
            "this session was ended: by `pg_terminate_backend`, by the end of the server, or by ebbtide, because something \
             that the test had started was still running after its end"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

/// What to do about a missing relation, type, function or schema when there are no migrations to
/// create one.
pub(crate) fn help_for_absent_migrations(code: &str, absent: &Path) -> Option<String> {
    // undefined_table, invalid_schema_name, undefined_object, undefined_function
    ["42P01", "3F000", "42704", "42883"].contains(&code).then(|| {
        format!(
            "no migrations have run, because {} does not exist: create it, or name another source as `migrations` in \
             ebbtide.toml",
            absent.display()
        )
    })
}

/// What to do about an error that names a missing object of a well-known extension.
pub(crate) fn help_for_missing_extension(message: &str) -> Option<String> {
    let object = message
        .split('"')
        .nth(1)
        .or_else(|| message.strip_prefix("function ")?.split('(').next())?;
    let extension = extension_that_provides(object)?;
    Some(format!(
        "{object} comes with the extension {extension}: declare it with `extensions = [\"{extension}\"]` under [provision] \
         in ebbtide.toml, or `.extension(\"{extension}\")` on the builder"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_depends_on_how_the_test_is_isolated() {
        let message = "VACUUM cannot run inside a transaction block";
        let help = help_for_test_error("25001", message, Isolation::Transaction)
            .expect("the error has a help text");
        assert!(help.contains("`ebbtide::Database`"), "{help}");
        assert_eq!(
            help_for_test_error("25001", message, Isolation::Database),
            None
        );
        let help = help_for_test_error(
            "42883",
            "function uuid_generate_v4() does not exist",
            Isolation::Database,
        );
        assert!(
            help.expect("the error has a help text")
                .contains("uuid-ossp")
        );
    }
}
