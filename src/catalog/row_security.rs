//! Row level security of the tables, and what makes a role exempt from it.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// Row level security of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableSecurity {
    /// The table, written `schema.table` unless it is in `public`.
    pub table: String,
    /// Whether row level security is enabled.
    pub is_enabled: bool,
    /// Whether it applies to the table's owner, too (`FORCE ROW LEVEL SECURITY`).
    pub is_forced: bool,
    /// The number of policies.
    pub policies: u64,
}

impl TableSecurity {
    /// Every table of the user, by name
    /// (<https://www.postgresql.org/docs/current/ddl-rowsecurity.html>).
    pub(crate) async fn read_all(connection: &mut PgConnection) -> Result<Vec<Self>, sqlx::Error> {
        let query = "select case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname, \
             c.relrowsecurity, c.relforcerowsecurity, \
             (select count(*) from pg_catalog.pg_policy where polrelid = c.oid) \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' \
                 and n.nspname not in ('information_schema', '_ebbtide') \
                 and not exists (select from pg_catalog.pg_depend \
                     where classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                         and objid = c.oid and deptype = 'e') \
             order by 1";
        let rows = sqlx::query(query).fetch_all(connection).await?;
        let table = |row: &sqlx::postgres::PgRow| {
            let policies: i64 = row.try_get(3)?;
            Ok(Self {
                table: row.try_get(0)?,
                is_enabled: row.try_get(1)?,
                is_forced: row.try_get(2)?,
                policies: policies.unsigned_abs(),
            })
        };
        rows.iter().map(table).collect()
    }

    /// What the table lacks, so that policies decide for every role that does not bypass them.
    pub(crate) fn lacks(&self) -> Vec<&'static str> {
        let parts = [
            (self.is_enabled, "ENABLE ROW LEVEL SECURITY"),
            (self.is_forced, "FORCE ROW LEVEL SECURITY"),
            (self.policies > 0, "a policy"),
        ];
        let missing = parts.into_iter().filter(|(has, _)| !has);
        missing.map(|(_, what)| what).collect()
    }
}

/// Why row level security cannot restrict a role, one reason each. `None` if there is no such role.
///
/// The reasons include what the role can become: a member of a role may act as that role with SET
/// ROLE (<https://www.postgresql.org/docs/current/role-membership.html>).
pub(crate) async fn exemptions(
    connection: &mut PgConnection,
    role: &str,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let query = r"
        with r as (select oid, rolname from pg_catalog.pg_roles where rolname = $1),
        reachable as (
            select g.*, g.oid = r.oid as is_self from pg_catalog.pg_roles g, r
            where pg_catalog.pg_has_role(r.oid, g.oid, 'member')
                and (g.oid = r.oid or not (
                    select rolsuper from pg_catalog.pg_roles s where s.oid = r.oid
                ))
        ), owned as (
            select g.oid, string_agg(c.oid::pg_catalog.regclass::text, ', '
                order by c.oid::pg_catalog.regclass::text) as tables
            from reachable g
                join pg_catalog.pg_class c on c.relowner = g.oid and c.relkind in ('r', 'p')
                join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                    and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', '_ebbtide')
            group by 1
        )
        select array_remove(array_agg(reason order by is_self desc, name, reason), null)
        from r left join (
            select is_self, reachable.rolname as name, case when is_self then what
                else format('is a member of %I, which %s', reachable.rolname, what) end as reason
            from reachable left join owned using (oid), lateral (values
                (case when reachable.rolsuper then 'is a superuser' end),
                (case when reachable.rolbypassrls then 'has BYPASSRLS' end),
                (case when owned.tables is not null then 'owns ' || owned.tables end)
            ) w(what) where what is not null
        ) reasons on true
        group by r.oid";
    sqlx::query_scalar(query)
        .bind(role)
        .fetch_optional(connection)
        .await
}
