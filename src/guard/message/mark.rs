//! The mark of a test's transaction: a setting that is local to it, and a row that it wrote.
//!
//! A test can create a savepoint with the name of ebbtide's, so the savepoint proves nothing. Every
//! end of a transaction resets its local settings
//! (<https://www.postgresql.org/docs/current/sql-set.html>), so the setting does.

use crate::guard_names::{OPEN_TEST, TEST_SETTING};

/// The value of the setting, without the count of sessions that follows it.
const OPEN: &str = "open ";

/// An SQL expression: how many sessions the current database has ever had. Empty text before
/// PostgreSQL 14, which does not count them
/// (<https://www.postgresql.org/docs/14/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW>).
///
/// The expression reads no table. It takes the identifier of the database from the path of a file.
pub(super) const fn session_count(version_num: u32) -> &'static str {
    // Each test evaluates this expression twice, so it avoids the scan of `pg_database` that
    // `current_database()` would need.
    if version_num < 140_000 {
        "''"
    } else {
        "pg_catalog.pg_stat_get_db_sessions(\
            pg_catalog.split_part(pg_catalog.pg_relation_filepath('pg_catalog.pg_class'), '/', -2)::pg_catalog.oid)"
    }
}

/// The statement that sets the mark. `session_count` is how many sessions the database had when the
/// last test on this session ended, if known.
pub(super) fn set(session_count: Option<u64>, version_num: u32) -> String {
    match session_count {
        // With the count at the previous test's end, this test's end also detects a client that
        // connected in between. It also spares the server an expression.
        Some(count) => format!("set local {TEST_SETTING} = '{}'", text(Some(count))),
        // SET takes no expressions, so the server's own count needs the function.
        None => format!(
            "select pg_catalog.set_config('{TEST_SETTING}', {}, true)",
            with_count_of_now(version_num)
        ),
    }
}

/// The mark as text.
pub(in crate::guard) fn text(session_count: Option<u64>) -> String {
    let count = session_count.map(|count| count.to_string());
    format!("{OPEN}{}", count.unwrap_or_default())
}

/// An SQL expression: the mark with the present count. If the count is higher than the one in the
/// mark, another client was connected during the test.
pub(super) fn with_count_of_now(version_num: u32) -> String {
    format!(
        "pg_catalog.concat('{OPEN}', {})",
        session_count(version_num)
    )
}

/// An SQL expression: the transaction's mark, null if there is none.
pub(super) fn value() -> String {
    // `true`: a missing setting is null. An error would end the transaction before the inspection.
    format!("pg_catalog.current_setting('{TEST_SETTING}', true)")
}

/// An SQL expression: whether the transaction has a mark.
pub(super) fn is_set() -> String {
    // In a session that has had a mark before, the setting is empty text after its transaction and
    // not null. So the expression looks for the text.
    format!(
        "coalesce(pg_catalog.starts_with({}, '{OPEN}'), false)",
        value()
    )
}

/// The query for whether the current transaction wrote a row of the guard's table.
///
/// `RESET ALL` removes the setting, but not this row. Its `xmin` is the transaction that wrote it
/// (<https://www.postgresql.org/docs/current/ddl-system-columns.html>), and no other transaction
/// has a committed row there, because the trigger refuses the commit.
pub(in crate::guard) fn has_row() -> String {
    format!("select exists (select from {OPEN_TEST} where xmin = pg_current_xact_id()::xid)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_holds_the_count_of_the_last_test_or_of_the_server() {
        assert_eq!(set(Some(7), 170_000), "set local ebbtide.test = 'open 7'");
        assert_eq!(
            set(None, 130_000),
            "select pg_catalog.set_config('ebbtide.test', pg_catalog.concat('open ', ''), true)"
        );
        assert!(set(None, 140_000).contains("pg_stat_get_db_sessions"));
    }
}
