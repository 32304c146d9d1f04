//! The properties of a database that the server stores outside that database.
//!
//! `CREATE DATABASE ... TEMPLATE` copies files. It does not copy what the shared catalogs store.
//! `pg_db_role_setting` has the settings of the database and of roles in it. `pg_database` has
//! owner, privileges, connection limit and `IS_TEMPLATE`. `pg_shdescription` has the comment, and
//! `pg_shseclabel` has security labels. Encoding, locale, collation version and tablespace are
//! inherited. <https://www.postgresql.org/docs/current/manage-ag-templatedbs.html>

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::inside;
use crate::guard_names::{BASELINE, LANE};
use crate::names::DatabaseName;

/// The properties of one database, as the statements that give another database the same
/// properties.
///
/// The statements are stored in the seal of a template and run for each copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DatabaseProperties {
    /// The database that was read. Its name has random digits, so every occurrence of the name in a
    /// statement means this database. The statement gets the copy's name instead.
    name: String,
    /// Statements for an administrative session on any database.
    statements: Vec<String>,
    /// Statements for a session on the copy.
    inside: Vec<String>,
}

/// The query that returns the statements for the shared catalogs, in order. `$1` is the database.
///
/// Privileges keep their order, because `pg_dump` prints them in this order. Each is granted by the
/// role that granted it on the template. The value of a setting that is a list of names is stored
/// with quoted names. `ALTER DATABASE` needs such names as separate strings, as `pg_dump` writes
/// them (`makeAlterConfigCommand`).
const PROPERTY_STATEMENTS: &str = r#"
with d as (select * from pg_database where datname = $1),
settings as (
    select s.setdatabase, s.setrole, c.n, split_part(c.entry, '=', 1) as name,
        substr(c.entry, strpos(c.entry, '=') + 1) as value
    from pg_db_role_setting s, unnest(s.setconfig) with ordinality c(entry, n)
),
grants as (
    select a.n, e.grantor, e.grantee, e.is_grantable, string_agg(e.privilege_type, ', ' order by e.privilege_type) as granted
    from d, unnest(d.datacl) with ordinality a(item, n), aclexplode(array[a.item]) e group by 1, 2, 3, 4
)
select statement from d, lateral (
    select 1 as step, 0::bigint as first, 0::bigint as second, format('alter database %I owner to %I', datname, pg_get_userbyid(datdba)) as statement
        where pg_get_userbyid(datdba) <> current_user
    union all
    select 2, s.setrole::bigint, s.n, format(case when s.setrole = 0 then 'alter database %2$I set %3$s to %4$s'
            else 'alter role %1$I in database %2$I set %3$s to %4$s' end,
        pg_get_userbyid(s.setrole), datname, (select string_agg(quote_ident(part), '.') from unnest(string_to_array(s.name, '.')) part),
        case when s.name in ('local_preload_libraries', 'search_path', 'session_preload_libraries', 'temp_tablespaces')
            then coalesce((select string_agg(quote_literal(coalesce(replace(m[1], '""', '"'), m[2])), ', ' order by at)
                from regexp_matches(s.value, '"((?:[^"]|"")*)"|([^,\s"]+)', 'g') with ordinality r(m, at)), '''''')
            else quote_literal(s.value) end)
        from settings s where s.setdatabase = d.oid
    union all
    select 3, 0, 0, format('alter database %I connection limit %s', datname, datconnlimit) where datconnlimit <> -1
    union all
    select 4, 0, 0, format('revoke all on database %1$I from public, %2$I', datname, pg_get_userbyid(datdba)) where datacl is not null
    union all
    select 5, g.n, g.is_grantable::int, concat(
            case when g.grantor <> datdba then format('set local role %I; ', pg_get_userbyid(g.grantor)) end,
            format('grant %s on database %I to %s', g.granted, datname,
                case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end),
            case when g.is_grantable then ' with grant option' end,
            case when g.grantor <> datdba then '; set local role none' end)
        from grants g
    union all
    select 6, 0, 0, format('comment on database %I is %L', datname, shobj_description(d.oid, 'pg_database'))
        where shobj_description(d.oid, 'pg_database') is not null
    union all
    select 7, 0, 0, format('security label for %I on database %I is %L', provider, datname, label)
        from pg_shseclabel where classoid = 'pg_database'::regclass and objoid = d.oid
    union all
    select 8, 0, 0, format('alter database %I is_template true', datname) where datistemplate
) s order by step, first, second
"#;

/// An SQL expression with the values that the statements restore, for the current database. Its
/// text is equal for two databases with the same properties, so a reset can detect that a test has
/// changed one.
pub(crate) async fn state(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let subscriptions = inside::subscriptions(connection).await?;
    Ok(format!(
        "(select concat_ws(e'\\n', datdba, datacl::text, datconnlimit, datallowconn, datistemplate, \
         (select string_agg(setrole || ' ' || setconfig::text, e'\\n' order by setrole) from pg_db_role_setting s \
            where s.setdatabase = d.oid), \
         (select string_agg(provider || ' ' || label, e'\\n' order by provider) from pg_shseclabel \
            where classoid = 'pg_database'::regclass and objoid = d.oid), \
         shobj_description(d.oid, 'pg_database'), {subscriptions}) \
         from pg_database d where datname = current_database())"
    ))
}

impl DatabaseProperties {
    /// Reads the properties of a database. `session` may be on any database of the server, because
    /// the catalogs are shared. The owner is a property only if it is another role than that of
    /// `session`.
    pub(crate) async fn read(
        session: &mut PgConnection,
        database: &DatabaseName,
        inside: Vec<String>,
    ) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(PROPERTY_STATEMENTS)
            .bind(database.as_str())
            .fetch_all(session)
            .await?;
        let statements = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: database.as_str().to_owned(),
            statements,
            inside,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.inside.is_empty()
    }

    pub(crate) fn has_inside(&self) -> bool {
        !self.inside.is_empty()
    }

    /// Gives these properties to a database, and then allows connections. A lane that needs
    /// properties is created with `ALLOW_CONNECTIONS false`, and all of this is one transaction, so
    /// no client sees a lane without them.
    pub(crate) async fn apply(
        &self,
        session: &mut PgConnection,
        database: &DatabaseName,
    ) -> Result<(), sqlx::Error> {
        let statements = self.renamed(&self.statements, database);
        let message =
            format!("begin; {statements}alter database {database} allow_connections true; commit");
        let applied = sqlx::raw_sql(AssertSqlSafe(message))
            .execute(&mut *session)
            .await;
        if applied.is_err() {
            // The first error is the one to report.
            let _ = sqlx::raw_sql("rollback").execute(session).await;
        }
        applied.map(drop)
    }

    /// Runs the statements for a session on the copy, and marks the lane as equal to the template.
    ///
    /// A superuser's session resets the counts of written rows, because the next reset would take
    /// these writes for changes of the schema by a test. An ordinary role may not.
    pub(crate) async fn apply_inside(
        &self,
        connection: &mut PgConnection,
        database: &DatabaseName,
    ) -> Result<(), sqlx::Error> {
        let mark = format!("update {LANE} set clean = true; ");
        self.run_inside(connection, database, &mark).await?;
        if connection
            .server_version_num()
            .is_some_and(|version| version >= 150_000)
        {
            sqlx::raw_sql("select pg_stat_force_next_flush()")
                .execute(&mut *connection)
                .await?;
            // In a query, PostgreSQL would check the right to call the function also for no rows.
            let reset_counts = "do $$ begin \
                if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) \
                then perform pg_catalog.pg_stat_reset(); end if; end $$";
            sqlx::raw_sql(reset_counts)
                .execute(&mut *connection)
                .await?;
            // A reset takes every later write for a test's.
            let move_baseline = format!(
                "update {BASELINE} set changed = pg_current_xact_id()::xid, counted_since = \
                 (select pg_stat_get_db_stat_reset_time(oid) from pg_database where datname = current_database())"
            );
            sqlx::raw_sql(AssertSqlSafe(move_baseline))
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    /// Runs the statements for a session on a copy of a database's state. They get the name `name`,
    /// which may be one that the copy will have later. The copy's own row of [`LANE`] stays as it
    /// is: such a copy never equals a template.
    pub(crate) async fn apply_inside_state(
        &self,
        connection: &mut PgConnection,
        name: &DatabaseName,
    ) -> Result<(), sqlx::Error> {
        self.run_inside(connection, name, "").await
    }

    /// Runs the statements for a session on a copy, and then `last`, in one transaction.
    ///
    /// A superuser's session suspends event triggers: these are not the user's statements. An
    /// ordinary role may not.
    async fn run_inside(
        &self,
        connection: &mut PgConnection,
        name: &DatabaseName,
        last: &str,
    ) -> Result<(), sqlx::Error> {
        let statements = self.renamed(&self.inside, name);
        let message = format!(
            "begin; select set_config('session_replication_role', 'replica', true) from pg_roles \
             where rolname = current_user and rolsuper; set local search_path = ''; \
             set local check_function_bodies = off; {statements}{last}commit"
        );
        sqlx::raw_sql(AssertSqlSafe(message))
            .execute(connection)
            .await
            .map(drop)
    }

    fn renamed(&self, statements: &[String], database: &DatabaseName) -> String {
        let text = statements
            .iter()
            .fold(String::new(), |text, statement| text + statement + "; ");
        text.replace(&self.name, database.as_str())
    }
}
