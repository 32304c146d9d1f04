//! What a copy of a database lacks, or has under the wrong name, as seen from a session on it.
//!
//! `CREATE DATABASE ... TEMPLATE` leaves subscriptions out, because `pg_subscription` is a shared
//! catalog. And a value of `current_database()` that a migration stored is the name of the build in
//! every copy.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::rows;
use crate::guard_names::{BASELINE, own};

/// What was found in the build database.
#[derive(Debug, Default)]
pub(crate) struct InsideProperties {
    /// Statements for each copy. They contain the name of the build in place of the copy's name.
    pub(crate) statements: Vec<String>,
    /// The objects that no copy can have.
    pub(crate) obstacles: Vec<Obstacle>,
    /// Other places that contain the name of the build. A copy keeps the name there.
    pub(crate) remnants: Vec<String>,
}

/// An object that no copy can have.
#[derive(Debug)]
pub(crate) struct Obstacle {
    pub(crate) object: String,
    pub(crate) remedy: &'static str,
}

const SUBSCRIPTION_REMEDY: &str = "create the subscription with `connect = false` and leave it disabled, or create it in the \
     test that uses it";
const SUPERUSER_REMEDY: &str = "only a superuser may read the connection of a subscription: specify a superuser in the URL, or \
     create the subscription in the test that uses it";
const PREPARED_REMEDY: &str =
    "end the transaction in the migration, with COMMIT PREPARED or ROLLBACK PREPARED";
const SLOT_REMEDY: &str = "create the slot in the test that uses it";
const NAME_REMEDY: &str = "every lane has a name of its own: call current_database() where the name is used, instead of storing it";

/// The catalogs that [`REDEFINE_WITH_NAME`] and [`UNALTERABLE_WITH_NAME`] read, each with a
/// condition for rows that `initdb` has not made, where an index serves it.
const CATALOGS_WITH_DEFINITIONS: [(&str, &str); 12] = [
    ("pg_proc", "oid >= 16384"),
    ("pg_rewrite", "oid >= 16384"),
    ("pg_constraint", "oid >= 16384"),
    ("pg_trigger", "oid >= 16384"),
    ("pg_attrdef", "true"),
    ("pg_policy", "true"),
    ("pg_index", "indexrelid >= 16384"),
    ("pg_attribute", "attrelid >= 16384"),
    ("pg_foreign_data_wrapper", "true"),
    ("pg_foreign_server", "true"),
    ("pg_foreign_table", "true"),
    ("pg_user_mapping", "true"),
];

/// The subscriptions of the database, and whether each is enabled or has begun to replicate.
const SUBSCRIPTIONS: &str = "select subname::text, subenabled or exists (select from pg_subscription_rel where srsubid = s.oid) \
     from pg_subscription s where subdbid = (select oid from pg_database where datname = current_database()) order by 1";

/// The statements that create the subscriptions again. Newer versions have more options; `to_jsonb`
/// returns null for a column that an older version lacks.
const CREATE_SUBSCRIPTIONS: &str = "select statement from pg_subscription s, to_jsonb(s) j, lateral (\
     select 1, format('create subscription %I connection %L publication %s with (connect = false, slot_name = %s%s)', subname, \
         subconninfo, (select string_agg(quote_ident(p), ', ' order by n) from unnest(subpublications) with ordinality u(p, n)), \
         coalesce(quote_literal(subslotname), 'none'), concat(', synchronous_commit = ' || quote_literal(subsynccommit), \
         ', binary = ' || (j ->> 'subbinary'), \
         ', streaming = ' || case j ->> 'substream' when 't' then 'true' when 'f' then 'false' when 'p' then 'parallel' \
             else j ->> 'substream' end, \
         case when j ->> 'subtwophasestate' <> 'd' then ', two_phase = true' end, \
         ', disable_on_error = ' || (j ->> 'subdisableonerr'), ', password_required = ' || (j ->> 'subpasswordrequired'), \
         ', run_as_owner = ' || (j ->> 'subrunasowner'), ', origin = ' || (j ->> 'suborigin'), \
         ', failover = ' || (j ->> 'subfailover'))) \
     union all select 2, format('alter subscription %I owner to %I', subname, pg_get_userbyid(subowner)) \
         where pg_get_userbyid(subowner) <> current_user \
     union all select 3, format('comment on subscription %I is %L', subname, obj_description(s.oid, 'pg_subscription')) \
         where obj_description(s.oid, 'pg_subscription') is not null\
     ) t(step, statement) where subdbid = (select oid from pg_database where datname = current_database()) order by subname, step";

/// Objects that contain the name of the database, as the statements that define them again. In a
/// copy, the statements contain its own name. `$1` is the name.
const REDEFINE_WITH_NAME: &str = concat!(
    "select format('alter foreign data wrapper %I options (set %I %L)', fdwname, option_name, option_value) \
         from pg_foreign_data_wrapper, pg_options_to_table(fdwoptions) where strpos(option_value, $1) > 0 \
     union all select format('alter server %I options (set %I %L)', srvname, option_name, option_value) \
         from pg_foreign_server, pg_options_to_table(srvoptions) where strpos(option_value, $1) > 0 \
     union all select format('alter user mapping for %s server %I options (set %I %L)', \
             case when umuser = 0 then 'public' else quote_ident(usename) end, srvname, option_name, option_value) \
         from pg_user_mappings, pg_options_to_table(umoptions) where strpos(option_value, $1) > 0 \
     union all select format('alter foreign table %s options (set %I %L)', ftrelid::regclass, option_name, option_value) \
         from pg_foreign_table, pg_options_to_table(ftoptions) where strpos(option_value, $1) > 0 \
     union all select format('alter foreign table %s alter column %I options (set %I %L)', attrelid::regclass, attname, option_name, \
             option_value) \
         from pg_attribute, pg_options_to_table(attfdwoptions) \
         where attfdwoptions is not null and strpos(option_value, $1) > 0 and not attisdropped \
     union all select pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = pronamespace \
         where p.oid >= 16384 and prokind in ('f', 'p') and nspname not in ('pg_catalog', 'information_schema', '",
    own!(),
    "') \
         and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e') \
         and strpos(pg_get_functiondef(p.oid), $1) > 0 \
     union all select format('alter table %s alter column %I set default %s', adrelid::regclass, attname, pg_get_expr(adbin, adrelid)) \
         from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum \
         where attgenerated = '' and strpos(pg_get_expr(adbin, adrelid), $1) > 0"
);

/// The database's name, and whether a setting of the database or its comment contains the name.
const NAME_AND_PROPERTIES: &str = "select datname::text, strpos(concat(shobj_description(oid, 'pg_database'), \
         (select string_agg(setconfig::text, '') from pg_db_role_setting where setdatabase = oid)), datname) > 0 \
     from pg_database where datname = current_database()";

/// Objects that contain the name and cannot be altered, only dropped and created again. `$1` is the
/// name.
const UNALTERABLE_WITH_NAME: &str = "select pg_describe_object('pg_class'::regclass, ev_class, 0) from pg_rewrite \
         where oid >= 16384 and strpos(pg_get_ruledef(oid), $1) > 0 \
     union all select pg_describe_object('pg_constraint'::regclass, oid, 0) from pg_constraint \
         where contype = 'c' and strpos(pg_get_constraintdef(oid), $1) > 0 \
     union all select pg_describe_object('pg_trigger'::regclass, oid, 0) from pg_trigger \
         where not tgisinternal and strpos(pg_get_triggerdef(oid), $1) > 0 \
     union all select pg_describe_object('pg_policy'::regclass, oid, 0) from pg_policy \
         where strpos(concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), $1) > 0 \
     union all select pg_describe_object('pg_class'::regclass, indexrelid, 0) from pg_index \
         where (indexprs is not null or indpred is not null) and strpos(pg_get_indexdef(indexrelid), $1) > 0 \
     union all select pg_describe_object('pg_attrdef'::regclass, d.oid, 0) from pg_attrdef d \
         join pg_attribute on attrelid = adrelid and attnum = adnum \
         where attgenerated <> '' and strpos(pg_get_expr(adbin, adrelid), $1) > 0";

/// Comments that contain the name. `$1` is the name.
const COMMENTS_WITH_NAME: &str = "select 'the comment on ' || pg_describe_object(classoid, objoid, objsubid) from pg_description \
     where objoid >= 16384 and strpos(description, $1) > 0";

const PREPARED_TRANSACTIONS: &str = "select format('the prepared transaction %L', gid) from pg_prepared_xacts where database = current_database()";
const REPLICATION_SLOTS: &str = "select format('the replication slot %s', slot_name) from pg_replication_slots where database = current_database()";

impl InsideProperties {
    /// Reads the database that the session is on. `database` is its name.
    pub(crate) async fn read(
        connection: &mut PgConnection,
        database: &str,
    ) -> Result<Self, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let mut inside = Self::default();
        inside.add_obstacles(
            sqlx::query_scalar(PREPARED_TRANSACTIONS)
                .fetch_all(&mut *transaction)
                .await?,
            PREPARED_REMEDY,
        );
        inside.add_objects(&mut transaction, database).await?;
        inside.remnants = sqlx::query_scalar(COMMENTS_WITH_NAME)
            .bind(database)
            .fetch_all(&mut *transaction)
            .await?;
        let tables = rows::tables_with_text(&mut transaction, database).await?;
        inside
            .remnants
            .extend(tables.into_iter().map(|table| format!("rows of {table}")));
        transaction.rollback().await?;
        Ok(inside)
    }

    /// Like [`read`](Self::read), without prepared transactions and without the places in which a
    /// copy keeps the name.
    pub(crate) async fn read_objects(
        connection: &mut PgConnection,
        database: &str,
    ) -> Result<Self, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let mut inside = Self::default();
        inside.add_objects(&mut transaction, database).await?;
        transaction.rollback().await?;
        Ok(inside)
    }

    /// Whether [`read_objects`](Self::read_objects) can find more in a lane than it finds in the
    /// template. That is so if there are subscriptions or replication slots, or if an object that
    /// may contain the name is younger than the copy. Reading all definitions takes longer than
    /// copying a small database.
    ///
    /// # Errors
    /// The server refuses the query, for example because a test has dropped ebbtide's schema.
    pub(crate) async fn may_have_more(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let younger = CATALOGS_WITH_DEFINITIONS.map(|(catalog, is_own)| {
            format!(
                "or exists (select from pg_catalog.{catalog} where {is_own} and age(xmin) < oldest)"
            )
        });
        let query = format!(
            "select exists (select from pg_catalog.pg_subscription where subdbid = d.oid) \
             or exists (select from pg_catalog.pg_get_replication_slots() where datoid = d.oid) {} \
             from pg_catalog.pg_database d, (select age(changed) as oldest from {BASELINE}) b \
             where datname = current_database()",
            younger.join(" ")
        );
        let found: Option<bool> = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_optional(connection)
            .await?;
        Ok(found.unwrap_or(true))
    }

    /// Whether an object, a setting or the comment of the session's database contains the database's
    /// name. After a renaming, they would contain the old one.
    pub(crate) async fn contain_name(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let (name, is_in_property): (String, bool) = sqlx::query_as(NAME_AND_PROPERTIES)
            .fetch_one(&mut *connection)
            .await?;
        let objects = Self::read_objects(connection, &name).await?;
        Ok(is_in_property || objects.statements.iter().any(|sql| sql.contains(&name)))
    }

    /// Adds what the session's transaction finds in the catalogs.
    async fn add_objects(
        &mut self,
        transaction: &mut PgConnection,
        database: &str,
    ) -> Result<(), sqlx::Error> {
        let inside = self;
        // With an empty search path, PostgreSQL writes every name in a definition with its schema.
        sqlx::raw_sql("set local search_path = ''")
            .execute(&mut *transaction)
            .await?;
        inside.add_obstacles(
            sqlx::query_scalar(REPLICATION_SLOTS)
                .fetch_all(&mut *transaction)
                .await?,
            SLOT_REMEDY,
        );
        let subscriptions = sqlx::query(SUBSCRIPTIONS)
            .fetch_all(&mut *transaction)
            .await?;
        if !subscriptions.is_empty() {
            let may_read =
                "select has_column_privilege('pg_subscription', 'subconninfo', 'select')";
            let may_read: bool = sqlx::query_scalar(may_read)
                .fetch_one(&mut *transaction)
                .await?;
            for row in subscriptions {
                let (name, replicates): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
                if replicates {
                    inside.add_obstacles(
                        vec![format!("the subscription {name}, which replicates")],
                        SUBSCRIPTION_REMEDY,
                    );
                } else if !may_read {
                    inside
                        .add_obstacles(vec![format!("the subscription {name}")], SUPERUSER_REMEDY);
                }
            }
            if inside.obstacles.is_empty() {
                inside.statements = sqlx::query_scalar(CREATE_SUBSCRIPTIONS)
                    .fetch_all(&mut *transaction)
                    .await?;
            }
        }
        let redefinitions = sqlx::query_scalar(REDEFINE_WITH_NAME)
            .bind(database)
            .fetch_all(&mut *transaction)
            .await?;
        inside.statements.extend(redefinitions);
        inside.add_obstacles(
            sqlx::query_scalar::<_, String>(UNALTERABLE_WITH_NAME)
                .bind(database)
                .fetch_all(&mut *transaction)
                .await?
                .into_iter()
                .map(|object| {
                    format!(
                        "{object}, which contains the name of the database that it was created in"
                    )
                })
                .collect(),
            NAME_REMEDY,
        );
        Ok(())
    }

    fn add_obstacles(&mut self, objects: Vec<String>, remedy: &'static str) {
        let obstacles = objects
            .into_iter()
            .map(|object| Obstacle { object, remedy });
        self.obstacles.extend(obstacles);
    }
}

/// An SQL expression: a text with the subscriptions of the current database, as far as this role
/// may read them.
pub(super) async fn subscriptions(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let may_read = "select has_column_privilege('pg_subscription', 'subconninfo', 'select')";
    let may_read: bool = sqlx::query_scalar(AssertSqlSafe(may_read))
        .fetch_one(connection)
        .await?;
    let columns = if may_read {
        "to_jsonb(s) - 'oid' - 'subdbid'"
    } else {
        "array[subname, subenabled::text, subslotname, subpublications::text]"
    };
    Ok(format!(
        "(select string_agg(({columns})::text, e'\\n' order by subname) from pg_subscription s where subdbid = d.oid)"
    ))
}
