//! The names of what all databases of a server share.

/// Catalogs that all databases of a server share
/// (<https://www.postgresql.org/docs/current/catalogs-overview.html>).
pub(super) const SHARED_CATALOGS: [&str; 11] = [
    "pg_auth_members",
    "pg_authid",
    "pg_database",
    "pg_db_role_setting",
    "pg_parameter_acl",
    "pg_replication_origin",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_subscription",
    "pg_tablespace",
];

/// Functions that change a property or an object of the whole server
/// (<https://www.postgresql.org/docs/current/functions-admin.html>).
pub(super) const SERVER_WIDE_FUNCTIONS: [&str; 10] = [
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_drop_replication_slot",
    "pg_reload_conf",
    "pg_replication_origin_advance",
    "pg_replication_origin_create",
    "pg_replication_origin_drop",
    "pg_replication_slot_advance",
];
