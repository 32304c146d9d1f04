//! The queries that read a schema from `pg_catalog`
//! (<https://www.postgresql.org/docs/current/catalogs.html>).
//!
//! PostgreSQL's own functions write the definitions. Columns that an older version lacks are read
//! through `to_jsonb`, which returns null for them. A catalog that an older version lacks has a
//! query of its own, with the first version that has it.
//!
//! The queries read what `pg_dump --create --schema-only` prints. `pg_dump` is the reference: a
//! test
//! changes objects of all kinds, and compares both.

mod code;
mod database;
mod foreign;
mod privileges;
mod query;
mod relations;
mod replication;
mod tables;
mod text_search;
mod types;

use query::Query;
pub(super) use query::{Connections, RowColumn};

/// Settings for the transaction that reads a schema. With them, equal definitions have equal texts
/// on every server: an empty search path qualifies all names.
///
/// `lock_timeout`, because the server may be in use: ebbtide must not queue behind a lock for long.
pub(super) const SNAPSHOT_SETTINGS: &str = "set local search_path = ''; set local timezone = \
'UTC'; set local datestyle = 'ISO'; \
     set local intervalstyle = 'postgres'; set local extra_float_digits = 1; set local \
     bytea_output = 'hex'; \
     set local quote_all_identifiers = off; set local lock_timeout = '30s'";

/// All queries as one message. `version` is the setting `server_version_num`.
///
/// The server may be far away, so the number of messages decides how long a comparison takes, not
/// the number of queries.
pub(super) fn everything(version: u32, connections: Connections) -> String {
    let groups: [&[Query]; 9] = [
        &database::QUERIES,
        &types::QUERIES,
        &relations::QUERIES,
        &tables::QUERIES,
        &code::QUERIES,
        &text_search::QUERIES,
        &foreign::QUERIES,
        &replication::QUERIES,
        &privileges::QUERIES,
    ];
    let queries = groups.into_iter().flatten();
    queries
        .filter(|query| query.versions.contains(&version))
        .filter(|query| query.connections.is_none_or(|only| only == connections))
        .map(Query::sql)
        .collect::<Vec<_>>()
        .join(";\n")
}
