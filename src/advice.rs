//! What to do about errors that PostgreSQL cannot explain by itself, because they come from how a test is isolated.
//!
//! The codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use std::path::Path;

use crate::sql_error::MAKE_ROOM;

/// Objects of well-known extensions, by which a missing extension is recognised.
const PROVIDED: [(&str, &[&str]); 12] = [
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

/// Which extension has an object of this name.
pub(crate) fn extension_with(object: &str) -> Option<&'static str> {
    PROVIDED
        .into_iter()
        .find(|(_, objects)| objects.contains(&object))
        .map(|(extension, _)| extension)
}

/// Whether an extension is one of PostgreSQL's own that this table knows.
pub(crate) fn is_contrib(extension: &str) -> bool {
    PROVIDED.iter().any(|(known, _)| *known == extension)
}

/// How the failed statement's test was isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Transaction,
    Sandbox,
    Database,
}

/// What to do about an error that a test met.
pub(crate) fn on_test_error(code: &str, message: &str, isolation: Isolation) -> Option<String> {
    let rolled_back = isolation != Isolation::Database;
    let advice = match code {
        // in_failed_sql_transaction
        "25P02" if isolation == Isolation::Transaction => {
            "an earlier statement failed: look at the first error; where code goes on after one, use `tx.begin()`, \
             `savepoints`, or a `Sandbox`"
        }
        "25P02" => {
            "an earlier statement failed, and PostgreSQL refuses all others until the application's transaction is rolled \
             back: look at the first error"
        }
        // active_sql_transaction
        "25001" if rolled_back && message.contains("cannot run inside a transaction block") => {
            "this statement has to be outside every transaction, and this test's is around everything: let it take an \
             `ebbtide::Database`"
        }
        "25001" if rolled_back => {
            "the isolation level and the access mode are those of the test's own transaction: give the test \
             `isolation_level`, or let it take an `ebbtide::Database`"
        }
        // ebbtide's own refusal of COMMIT.
        "25000" if message.starts_with("COMMIT refused") => {
            "use `begin()` and `commit()` of sqlx, which become savepoints, or let the test take an `ebbtide::Database`"
        }
        // read_only_sql_transaction
        "25006" if rolled_back => {
            "only the test's transaction may write: SQL of the test's has ended it, or this is another connection; let the \
             test take an `ebbtide::Database`"
        }
        // unsafe_new_enum_value_usage
        "55P04" if rolled_back => {
            "a new value of an enum can be used when it is committed: add it in a migration, or let the test take an \
             `ebbtide::Database`"
        }
        // lock_not_available
        "55P03" => {
            "another session has the lock: two of this test's own, or a worker that it started; see who waits for whom"
        }
        // deadlock_detected
        "40P01" => {
            "two sessions wait for each other's locks: take locks in the same order everywhere, or retry the loser"
        }
        // undefined_table, which is also said of an alias that no FROM clause has
        "42P01" if message.starts_with("relation ") => {
            "no migration, seed or fixture of this test has created it: is its name misspelt, or its schema not on the \
             search_path?"
        }
        // undefined_object, undefined_function
        "42704" | "42883" => return extension_needed(message),
        // unique_violation
        "23505" => {
            "the row is there already: from a seed, a fixture, or an earlier statement of this test; other tests' rows are \
             never seen"
        }
        // too_many_connections
        "53300" => {
            "close pools that the test opens, let it use fewer connections, run fewer tests at once, or raise \
             `max_connections` below `settings`"
        }
        // disk_full
        "53100" => MAKE_ROOM,
        "57P01" if message.contains("postmaster") => {
            "the server's main process has ended: somebody has killed it, or the system has for want of memory"
        }
        // admin_shutdown
        "57P01" => {
            "somebody ended this session: `pg_terminate_backend`, the server's end, or ebbtide, when the test was over and \
             something that it had started was not"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

/// What to do about a relation, a type or a schema that a test misses, where there are no migrations to create one.
pub(crate) fn on_absent_migrations(code: &str, absent: &Path) -> Option<String> {
    // undefined_table, invalid_schema_name, undefined_object, undefined_function
    ["42P01", "3F000", "42704", "42883"].contains(&code).then(|| {
        format!(
            "no migrations have run, because {} does not exist: create it, or name another source as `migrations` in \
             ebbtide.toml",
            absent.display()
        )
    })
}

/// The extension that has what the message misses.
pub(crate) fn extension_needed(message: &str) -> Option<String> {
    let object = message
        .split('"')
        .nth(1)
        .or_else(|| message.strip_prefix("function ")?.split('(').next())?;
    let extension = extension_with(object)?;
    Some(format!(
        "{object} comes with the extension {extension}: declare it with `extensions = [\"{extension}\"]` under [provision] \
         in ebbtide.toml, or `.extension(\"{extension}\")` on the builder"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_depends_on_how_the_test_is_isolated() {
        let message = "VACUUM cannot run inside a transaction block";
        let advice =
            on_test_error("25001", message, Isolation::Transaction).expect("we know this one");
        assert!(advice.contains("`ebbtide::Database`"), "{advice}");
        assert_eq!(on_test_error("25001", message, Isolation::Database), None);
        let advice = on_test_error(
            "42883",
            "function uuid_generate_v4() does not exist",
            Isolation::Database,
        );
        assert!(advice.expect("we know this one").contains("uuid-ossp"));
    }
}
