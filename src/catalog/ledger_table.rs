//! Finds the tables of migration tools by their names and columns.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::relations::RelationName;
use crate::guard_names::SCHEMA;
use crate::names::Literal;

/// The columns by which a tool's table is recognised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Columns {
    /// These, and maybe others: the table's name belongs to one tool.
    AtLeast(&'static [&'static str]),
    /// Exactly these: other programs use the table's name too, such as `migrations`.
    Exactly(&'static [&'static str]),
    /// As `AtLeast` under the table's name, as `Exactly` under every other: the tool's
    /// configuration can name the table.
    InAnyTable(&'static [&'static str]),
}

impl Columns {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::AtLeast(names) | Self::Exactly(names) | Self::InAnyTable(names) => names,
        }
    }

    fn are(self, found: &BTreeSet<&str>, has_name: bool) -> bool {
        let names = self.names();
        let has_all = names.iter().all(|name| found.contains(name));
        let has_no_other = found.len() == names.len();
        match self {
            Self::AtLeast(_) => has_name && has_all,
            Self::Exactly(_) => has_name && has_all && has_no_other,
            Self::InAnyTable(_) => has_all && (has_name || has_no_other),
        }
    }
}

/// A table that a migration tool uses, or that has the name of such a table.
#[derive(Debug)]
pub(crate) struct LedgerTable {
    pub(crate) name: RelationName,
    /// The index of the known table.
    pub(crate) layout: usize,
    /// The columns are those of the tool.
    pub(crate) is_recognised: bool,
    /// The role may read it.
    pub(crate) is_readable: bool,
    /// The session's `search_path` finds it.
    pub(crate) is_visible: bool,
}

/// The tables of the database that are among the known ones, or have the name of one that belongs
/// to a single tool. Runs one unprepared query.
pub(crate) async fn find(
    connection: &mut PgConnection,
    known: &[(&str, Columns)],
) -> Result<Vec<LedgerTable>, sqlx::Error> {
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let list = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| Literal(name).to_string()).collect();
        names.join(", ")
    };
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let mut conditions = vec![format!("c.relname in ({})", list(&names))];
    for (_, columns) in known {
        if let Columns::InAnyTable(names) = columns {
            conditions.push(format!(
                "{} = (select count(*) from pg_attribute a where a.attrelid = c.oid \
                 and a.attname in ({}))",
                names.len(),
                list(names)
            ));
        }
    }
    let query = format!(
        "select n.nspname::text, c.relname::text, \
         (select string_agg(a.attname::text, ',') from pg_attribute a \
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), \
         (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))::text, \
         pg_table_is_visible(c.oid)::text \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p') and c.relpersistence <> 't' and c.oid >= 16384 \
         and n.nspname <> '{SCHEMA}' and ({}) order by 1, 2",
        conditions.join(" or ")
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(query))
        .fetch_all(connection)
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        let name = RelationName::of_row(row, 0)?;
        let columns: Option<String> = row.try_get(2)?;
        let [is_readable, is_visible]: [String; 2] = [row.try_get(3)?, row.try_get(4)?];
        let columns: BTreeSet<&str> = columns.iter().flat_map(|list| list.split(',')).collect();
        let is = |(table, known): &(&str, Columns)| known.are(&columns, *table == name.name);
        let has_name = |(table, known): &(&str, Columns)| {
            *table == name.name && !matches!(known, Columns::Exactly(_))
        };
        let recognised = known.iter().position(is);
        let Some(layout) = recognised.or_else(|| known.iter().position(has_name)) else {
            continue;
        };
        found.push(LedgerTable {
            name,
            layout,
            is_recognised: recognised.is_some(),
            is_readable: is_readable == "true",
            is_visible: is_visible == "true",
        });
    }
    Ok(found)
}

/// The tables and views that a tool can mean by the name of its ledger, in every schema. Those that
/// the session's `search_path` finds come first. `table` is SQL: it can have a schema and quotes.
pub(crate) async fn places(
    connection: &mut PgConnection,
    table: &str,
) -> Result<Vec<RelationName>, sqlx::Error> {
    let query = "
        with wanted as (select parse_ident($1) as parts),
        split as (select parts[array_length(parts, 1)]::name as name,
            parts[array_length(parts, 1) - 1]::name as schema from wanted)
        select n.nspname::text, c.relname::text from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join split on split.name = c.relname and coalesce(split.schema, n.nspname) = n.nspname
        where c.relkind in ('r', 'p', 'v', 'f') and c.relpersistence <> 't'
        order by not pg_table_is_visible(c.oid), 1";
    let rows = sqlx::query(query).bind(table).fetch_all(connection).await?;
    rows.iter()
        .map(|row| RelationName::of_row(row, 0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_needs_exactly_the_columns_of_the_tool() {
        let two: BTreeSet<&str> = BTreeSet::from(["id", "name"]);
        let names: &'static [&'static str] = &["id"];
        assert!(Columns::AtLeast(names).are(&two, true));
        assert!(!Columns::AtLeast(names).are(&two, false));
        assert!(!Columns::Exactly(names).are(&two, true));
        assert!(Columns::Exactly(&["name", "id"]).are(&two, true));
        assert!(Columns::InAnyTable(names).are(&two, true));
        assert!(!Columns::InAnyTable(names).are(&two, false));
        assert!(Columns::InAnyTable(&["id", "name"]).are(&two, false));
    }
}
