//! The messages that undo what a test has committed. Together they are one transaction.

use super::lane_record;
use crate::guard_names::{BASELINE, CHANGED_TABLES, ESTIMATES, RESET_STATE, SEQUENCES};
use crate::names::Literal;

/// Begins the transaction, and reads what the client must know about the lane: one row of
/// `reset_state`. `before` is a message of its own transactions, which this one continues.
pub(in crate::guard) fn begin(before: &str) -> String {
    // What the reset reads and writes must not count as the next test's. Only a superuser may turn
    // the counts off, and only a superuser's reset writes more than one row.
    format!(
        "{before}begin read write; set local synchronous_commit = off; select {OBJECTS_UNCHANGED}, \
         case when current_setting('is_superuser') = 'on' \
             then set_config('track_counts', 'off', true) end; \
         select drop_needed, refusal, oldest, is_superuser from {RESET_STATE}"
    )
}

/// Fails with [`CONDITION_FAILED`](crate::guard::CONDITION_FAILED) if a row of `pg_proc` or
/// `pg_rewrite` was written since the copy: the test may have replaced what checks everything else.
/// 1255 and 2618 are the identifiers of these catalogs.
const OBJECTS_UNCHANGED: &str = "1 / (\
     pg_stat_get_tuples_inserted(1255) + pg_stat_get_tuples_updated(1255) \
     + pg_stat_get_tuples_deleted(1255) + pg_stat_get_tuples_inserted(2618) \
     + pg_stat_get_tuples_updated(2618) + pg_stat_get_tuples_deleted(2618) = 0)::int";

/// Reads the tables whose rows have changed, or have to be read.
pub(in crate::guard) fn changed_tables(oldest: &str) -> String {
    format!("select relation, restored, unread, rows from {CHANGED_TABLES}({oldest})")
}

/// Reads the number of rows of a table, or -1 if a row was written. `source` is the FROM clause.
pub(in crate::guard) fn count_rows(source: &str, oldest: &str, is_restorable: bool) -> String {
    // A scan would remove dead rows from the pages of a table that the reset cannot refill. Such a
    // table is read by `ctid`.
    let sequential_scans = if is_restorable { "on" } else { "off" };
    format!(
        "set local enable_seqscan = {sequential_scans}; select {} from {source}",
        count_unless_written(oldest)
    )
}

/// An SQL expression: the number of rows, or -1 if a transaction younger than the age `oldest` has
/// written one of them.
pub(in crate::guard) fn count_unless_written(oldest: &str) -> String {
    format!("case when bool_or(age(xmin) < {oldest}) then -1 else count(*) end")
}

/// A table whose rows a test has changed.
#[derive(Debug)]
pub(in crate::guard) struct ChangedTable {
    pub(in crate::guard) name: String,
    /// The statement that inserts its rows. Empty for a table without rows.
    pub(in crate::guard) refill: String,
}

/// Makes the lane equal to the template, marks it as clean for the `holder` in its own table, and
/// commits.
///
/// The columns of the planner come after the tables, because TRUNCATE and the inserts change them.
///
/// # Errors
/// [`CONDITION_FAILED`](crate::guard::CONDITION_FAILED): this role may not restore these columns.
pub(in crate::guard) fn restore(
    changed: &[ChangedTable],
    is_superuser: bool,
    holder: Option<&str>,
) -> String {
    let leave = holder.map(lane_record::set_clean).unwrap_or_default();
    let tables = tables(changed);
    let estimates = estimates(is_superuser, !changed.is_empty());
    format!(
        "{tables}{estimates}; select setval(sequence, value, called) from {SEQUENCES}; \
         update {BASELINE} set changed = pg_current_xact_id()::xid, \
             counted_since = pg_stat_get_db_stat_reset_time(d.oid) \
         from pg_database d where d.datname = current_database(); {leave}commit"
    )
}

/// The statements that empty and refill the tables.
fn tables(changed: &[ChangedTable]) -> String {
    if changed.is_empty() {
        return String::new();
    }
    let join =
        |item: fn(&ChangedTable) -> String| changed.iter().map(item).collect::<Vec<_>>().join(", ");
    let identifiers = join(|table| format!("{}::regclass", Literal(&table.name)));
    let names = join(|table| format!("only {}", table.name));
    let refills: String = changed
        .iter()
        .filter(|table| !table.refill.is_empty())
        .flat_map(|table| [&table.refill, "; "])
        .collect();
    // Triggers, foreign keys and rules must not act on the reset. Without these flags the server
    // does not look for them. Setting `session_replication_role` has the same effect, but makes the
    // session plan every statement again. PostgreSQL refuses to truncate a table alone that a
    // foreign key refers to; it recognises such a table by `relhastriggers`, too. The flags are
    // restored with the columns of the planner.
    //
    // TRUNCATE, because a DELETE leaves dead rows, which change the order of later rows.
    format!(
        "update pg_class set relhastriggers = false, relhasrules = false \
         where oid in ({identifiers}) and (relhastriggers or relhasrules); \
         truncate {names}; {refills}"
    )
}

/// The statements that restore the columns of `pg_class` that the planner reads.
fn estimates(is_superuser: bool, has_changed_tables: bool) -> String {
    if !is_superuser {
        return format!(
            "select 1 / (not exists (select from pg_class c join {ESTIMATES} e on e.oid = c.oid \
             where {PLANNER_COLUMNS_DIFFER}))::int"
        );
    }
    // The next reset starts from zero. ROLLBACK does not undo pg_stat_reset(), but a lane whose
    // reset fails is copied again.
    let reset_counts = "select pg_stat_reset(), pg_stat_clear_snapshot()";
    let restore = format!(
        "update pg_class c \
         set relpages = e.relpages, reltuples = e.reltuples, relallvisible = e.relallvisible, \
             relhasindex = e.relhasindex, relhasrules = e.relhasrules, \
             relhastriggers = e.relhastriggers, relhassubclass = e.relhassubclass \
         from {ESTIMATES} e where e.oid = c.oid and {PLANNER_COLUMNS_DIFFER}"
    );
    if has_changed_tables {
        format!("{restore}; {reset_counts}")
    } else {
        format!(
            "with restored as ({restore} returning 1) {reset_counts} \
             from (select from restored limit 1) any_restored"
        )
    }
}

/// A condition on a row `c` of `pg_class` and the row `e` of `estimates`.
pub(in crate::guard) const PLANNER_COLUMNS_DIFFER: &str = "(c.relpages, c.reltuples, c.relallvisible, c.relhasindex, c.relhasrules, c.relhastriggers, \
     c.relhassubclass) is distinct from (e.relpages, e.reltuples, e.relallvisible, e.relhasindex, \
     e.relhasrules, e.relhastriggers, e.relhassubclass)";

#[cfg(test)]
mod tests {
    use super::*;

    fn changed() -> Vec<ChangedTable> {
        let table = |name: &str, refill: &str| ChangedTable {
            name: name.to_owned(),
            refill: refill.to_owned(),
        };
        vec![
            table("public.empty", ""),
            table("public.\"o'dd\"", "insert into public.\"o'dd\" select 1"),
        ]
    }

    #[test]
    fn changed_tables_are_emptied_before_they_are_filled_again() {
        assert_eq!(
            tables(&changed()),
            "update pg_class set relhastriggers = false, relhasrules = false \
             where oid in ('public.empty'::regclass, 'public.\"o''dd\"'::regclass) \
             and (relhastriggers or relhasrules); \
             truncate only public.empty, only public.\"o'dd\"; \
             insert into public.\"o'dd\" select 1; "
        );
    }

    #[test]
    fn without_changed_tables_nothing_is_truncated() {
        let message = restore(&[], true, None);
        assert!(!message.contains("truncate"), "{message}");
        assert!(
            message.starts_with("with restored as (update pg_class"),
            "{message}"
        );
        assert!(message.ends_with("current_database(); commit"), "{message}");
    }

    #[test]
    fn a_role_without_the_right_to_it_restores_no_column() {
        let message = restore(&[], false, None);
        assert!(!message.contains("update pg_class"), "{message}");
        assert!(message.starts_with("select 1 / (not exists"), "{message}");
    }
}
