//! Changes of the server itself.

use crate::hostile::body::{ANY, Body, DATABASE_ONLY, Needs, TX_OR_SANDBOX, sql};

/// Changes that the test rolls back, or undoes itself.
#[rustfmt::skip]
pub(super) const BODIES: &[Body] = &[
    sql("a role in a transaction", TX_OR_SANDBOX, "create role hostile_rolled_back
        grant all on customers to hostile_rolled_back
        set local role hostile_rolled_back"),
    sql("a role that is dropped again", ANY, "create role hostile_short login
        grant select on customers to hostile_short
        drop owned by hostile_short
        drop role hostile_short"),
    sql("settings of a role in a transaction", TX_OR_SANDBOX, "alter role {role} set work_mem = '1MB'
        alter role {role} in database {db} set app.tenant = '1'"),
    sql("a parameter's privileges in a transaction", TX_OR_SANDBOX, "grant set on parameter log_min_duration_statement to pg_monitor"),
    sql("a replication origin in a transaction", TX_OR_SANDBOX, "select pg_replication_origin_create('hostile_rolled_back')"),
    sql("ALTER SYSTEM and back", DATABASE_ONLY, "alter system set work_mem = '1MB'
        alter system reset work_mem"),
    sql("the configuration reloaded", ANY, "select pg_reload_conf()"),
    sql("a checkpoint and a new WAL file", DATABASE_ONLY, "checkpoint
        select pg_switch_wal()"),
    sql("a database that is dropped again", DATABASE_ONLY, "create database hostile_short template template0
        drop database hostile_short"),
    sql("the counters of the server reset", ANY, "select pg_stat_reset_shared('wal'), pg_stat_reset_slru(null)"),
];

/// Changes that stay in the server. The second script undoes them.
#[rustfmt::skip]
pub(crate) const SERVER_WIDE: &[(Body, &str)] = &[
    (sql("a role", DATABASE_ONLY, "create role hostile_role login superuser"), "drop role hostile_role"),
    (sql("a role with privileges in the database", DATABASE_ONLY, "create role hostile_role
        grant select on customers to hostile_role
        alter table notes owner to hostile_role"), "drop role hostile_role"),
    (sql("a role with settings", DATABASE_ONLY, "create role hostile_role
        alter role hostile_role set search_path = nowhere
        alter role hostile_role in database {db} set search_path = nowhere"), "drop role hostile_role"),
    (sql("a role that owns the database", DATABASE_ONLY, "create role hostile_role
        alter database {db} owner to hostile_role"), "drop role hostile_role"),
    (sql("membership of a role", DATABASE_ONLY, "create role hostile_role
        grant pg_monitor to hostile_role"), "drop role hostile_role"),
    (sql("settings of the role", DATABASE_ONLY, "alter role {role} set work_mem = '1MB'"), "alter role {role} reset all"),
    (sql("limits of the role", DATABASE_ONLY, "alter role {role} set statement_timeout = '20s'
        alter role {role} set lock_timeout = '20s'
        alter role {role} set idle_session_timeout = '100ms'
        alter role {role} set row_security = off"), "alter role {role} reset all"),
    (sql("a database", DATABASE_ONLY, "create database hostile_database template template0"), "drop database hostile_database"),
    (sql("a copy of the test's database", DATABASE_ONLY, "admin: create database hostile_database template {db}"),
        "drop database if exists hostile_database"),
    (sql("ALTER SYSTEM", DATABASE_ONLY, "alter system set app.server = 'x'
        alter system set work_mem = '2MB'
        select pg_reload_conf()"), "alter system reset all; select pg_reload_conf()"),
    (sql("a parameter's privileges", DATABASE_ONLY, "create role hostile_role
        grant set on parameter log_min_duration_statement to hostile_role"),
        "revoke set on parameter log_min_duration_statement from hostile_role; drop role hostile_role"),
    (sql("a replication origin", DATABASE_ONLY, "select pg_replication_origin_create('hostile_origin')"),
        "select pg_replication_origin_drop('hostile_origin')"),
    (sql("a prepared transaction of another database", DATABASE_ONLY, "admin: begin; select txid_current(); prepare transaction 'hostile'"),
        "rollback prepared 'hostile'"),
    (sql("a physical replication slot", DATABASE_ONLY, "select pg_create_physical_replication_slot('hostile_slot')").needing(Needs::Settings),
        "select pg_drop_replication_slot('hostile_slot')"),
];
