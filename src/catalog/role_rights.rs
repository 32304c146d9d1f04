//! What the role of a session may do that row level security depends on.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// What the role of a session may do, and how its transactions begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RoleRights {
    /// Why the policies of the database do not apply to the role. `None` if they do, or if no table
    /// has a policy.
    pub(crate) bypasses: Option<String>,
    /// Whether the role's own `default_transaction_read_only` is on.
    pub(crate) is_read_only: bool,
}

impl RoleRights {
    /// Reads the rights of the role that the session is logged in as.
    pub(crate) async fn of_session(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        // The simple protocol: the session may be a test's, and must have no prepared statement of
        // ebbtide. Its values are text.
        let row = sqlx::raw_sql(RIGHTS).fetch_one(connection).await?;
        let bypasses: Option<&str> = row.try_get_unchecked(0)?;
        let is_read_only: &str = row.try_get_unchecked(1)?;
        Ok(Self {
            bypasses: bypasses.map(str::to_owned),
            is_read_only: is_read_only == "t",
        })
    }
}

/// A policy does not apply to superusers, to roles with BYPASSRLS, and to the owner of a table
/// without FORCE ROW LEVEL SECURITY. A role that inherits an owner's privileges counts as the owner
/// (<https://www.postgresql.org/docs/current/ddl-rowsecurity.html>).
///
/// A setting of a role in one database overrides the role's setting for all
/// (<https://www.postgresql.org/docs/current/sql-alterrole.html>). The session itself shows neither,
/// because it begins with ebbtide's value.
const RIGHTS: &str = r"
    with secured as (
        select c.oid, c.relowner, c.relforcerowsecurity
        from pg_catalog.pg_class c
        where c.relrowsecurity and exists (select from pg_catalog.pg_policy where polrelid = c.oid)
    ), owned as (
        select string_agg(s.oid::pg_catalog.regclass::text, ', ' order by s.oid::pg_catalog.regclass::text) as tables
        from secured s
        where not s.relforcerowsecurity and pg_catalog.pg_has_role(session_user, s.relowner, 'usage')
    )
    select
        case
            when not exists (select from secured) then null
            when r.rolsuper then format('%I is a superuser', r.rolname)
            when r.rolbypassrls then format('%I has BYPASSRLS', r.rolname)
            else format('%I owns ', r.rolname) || owned.tables || ' without FORCE ROW LEVEL SECURITY'
        end,
        coalesce((
            select split_part(entry, '=', 2)::bool
            from pg_catalog.pg_db_role_setting s, unnest(s.setconfig) entry
            where s.setrole = r.oid and entry like 'default\_transaction\_read\_only=%'
                and s.setdatabase in (0, (
                    select oid from pg_catalog.pg_database where datname = current_database()
                ))
            order by s.setdatabase <> 0 desc limit 1
        ), false)
    from pg_catalog.pg_roles r, owned where r.rolname = session_user";
