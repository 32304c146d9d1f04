//! The tables of migration tools whose files ebbtide does not apply: data only.
//!
//! A [`MigrationCommand`](crate::config::MigrationCommand) or a function runs such a tool, and a
//! database that is compared may come from one. A table is recognised by its name and its columns,
//! so a user's own table `migrations` remains a table of the user.

use crate::catalog::{Columns, LedgerLayout};

use Columns::{AtLeast, Exactly};

/// The ledgers, those with a name of their own first. If a tool has changed its table, each form
/// has an entry.
pub(super) static LEDGERS: &[LedgerLayout] = &[
    // Alembic keeps the heads only.
    ledger(
        "alembic_version",
        AtLeast(&["version_num"]),
        "string_agg(version_num, ', ' order by version_num)",
    ),
    FLYWAY,
    // Flyway 4 and 3: other programs use the name, too.
    LedgerLayout {
        table: "schema_version",
        columns: Exactly(&[
            "installed_rank",
            "version",
            "description",
            "type",
            "script",
            "checksum",
            "installed_by",
            "installed_on",
            "execution_time",
            "success",
        ]),
        ..FLYWAY
    },
    LedgerLayout {
        table: "schema_version",
        columns: Exactly(&[
            "version_rank",
            "installed_rank",
            "version",
            "description",
            "type",
            "script",
            "checksum",
            "installed_by",
            "installed_on",
            "execution_time",
            "success",
        ]),
        ..FLYWAY
    },
    LedgerLayout {
        counts: "finished_at is not null and rolled_back_at is null",
        dirty: Some(
            "min(migration_name) filter (where finished_at is null and rolled_back_at is null)",
        ),
        ..ledger(
            "_prisma_migrations",
            AtLeast(&["migration_name", "finished_at", "rolled_back_at"]),
            "max(migration_name)",
        )
    },
    // A way down adds a row that is not applied.
    LedgerLayout {
        counts: "is_applied and version_id > 0 and not exists (select from {table} later \
                 where later.version_id = ledger.version_id and later.id > ledger.id)",
        ..ledger(
            "micrate_db_version",
            AtLeast(&["id", "version_id", "is_applied"]),
            "max(version_id)",
        )
    },
    // Atlas writes one row about itself.
    LedgerLayout {
        counts: "(error is null or error = '') and version <> '.atlas_cloud_identifier'",
        dirty: Some("min(version) filter (where error <> '')"),
        ..ledger(
            "atlas_schema_revisions",
            AtLeast(&["version", "error", "hash"]),
            MAX_VERSION,
        )
    },
    LedgerLayout {
        counts: "state = 'applied'",
        dirty: Some("min(id) filter (where state <> 'applied')"),
        ..ledger("play_evolutions", AtLeast(&["id", "state"]), "max(id)")
    },
    // Django has a sequence of versions for each application, so the last row counts.
    ledger(
        "django_migrations",
        AtLeast(&["id", "app", "name"]),
        "(array_agg(app || '.' || name order by id desc))[1]",
    ),
    ledger(
        "knex_migrations",
        AtLeast(&["id", "name", "batch"]),
        LAST_NAME,
    ),
    ledger(
        "pgmigrations",
        AtLeast(&["id", "name", "run_on"]),
        LAST_NAME,
    ),
    ledger("mikro_orm_migrations", AtLeast(&["id", "name"]), LAST_NAME),
    ledger(
        "bun_migrations",
        AtLeast(&["id", "name", "group_id"]),
        LAST_NAME,
    ),
    // Liquibase.
    ledger(
        "databasechangelog",
        AtLeast(&["id", "author", "filename", "orderexecuted"]),
        "(array_agg(id order by orderexecuted desc))[1]",
    ),
    // SeaORM.
    ledger(
        "seaql_migrations",
        AtLeast(&["version", "applied_at"]),
        MAX_VERSION,
    ),
    ledger("SequelizeMeta", AtLeast(&["name"]), MAX_NAME),
    ledger(
        "__EFMigrationsHistory",
        AtLeast(&["MigrationId", "ProductVersion"]),
        r#"max("MigrationId" collate "C")"#,
    ),
    // Entity Framework with names in snake case.
    ledger(
        "__EFMigrationsHistory",
        AtLeast(&["migration_id", "product_version"]),
        r#"max(migration_id collate "C")"#,
    ),
    // Drizzle records the time of a migration's file, and its hash.
    ledger(
        "__drizzle_migrations",
        AtLeast(&["id", "hash", "created_at"]),
        "max(created_at)",
    ),
    ledger(
        "kysely_migration",
        AtLeast(&["name", "timestamp"]),
        MAX_NAME,
    ),
    ledger(
        "_yoyo_migration",
        AtLeast(&["migration_id", "applied_at_utc"]),
        "(array_agg(migration_id order by applied_at_utc desc))[1]",
    ),
    ledger(
        "phinxlog",
        AtLeast(&["version", "migration_name"]),
        "max(version)",
    ),
    ledger(
        "doctrine_migration_versions",
        AtLeast(&["version"]),
        MAX_VERSION,
    ),
    // Doctrine's bundle for Symfony, before 3.0.
    ledger("migration_versions", Exactly(&["version"]), MAX_VERSION),
    ledger(
        "migration_versions",
        Exactly(&["version", "executed_at"]),
        MAX_VERSION,
    ),
    // go-pg: a way down adds a row with the version before.
    ledger(
        "gopg_migrations",
        AtLeast(&["id", "version"]),
        "(array_agg(version order by id desc))[1]",
    ),
    // DbUp.
    ledger(
        "schemaversions",
        AtLeast(&["schemaversionsid", "scriptname"]),
        "(array_agg(scriptname order by schemaversionsid desc))[1]",
    ),
    // FluentMigrator.
    ledger(
        "VersionInfo",
        Exactly(&["Version", "AppliedOn", "Description"]),
        r#"max("Version")"#,
    ),
    // Sqitch.
    ledger(
        "changes",
        Exactly(&[
            "change_id",
            "script_hash",
            "change",
            "project",
            "note",
            "committed_at",
            "committer_name",
            "committer_email",
            "planned_at",
            "planner_name",
            "planner_email",
        ]),
        "(array_agg(change order by committed_at desc))[1]",
    ),
    // golang-migrate keeps one row: the current version.
    LedgerLayout {
        counts: "not dirty",
        dirty: Some("min(version) filter (where dirty)"),
        ..ledger(
            "schema_migrations",
            Exactly(&["version", "dirty"]),
            "max(version)",
        )
    },
    // Ecto.
    ledger(
        "schema_migrations",
        Exactly(&["version", "inserted_at"]),
        "max(version)",
    ),
    // Supabase.
    ledger(
        "schema_migrations",
        Exactly(&["version", "statements", "name"]),
        MAX_VERSION,
    ),
    ledger(
        "schema_migrations",
        Exactly(&[
            "version",
            "statements",
            "name",
            "created_by",
            "idempotency_key",
            "rollback",
        ]),
        MAX_VERSION,
    ),
    // Migratus: the row -1 is a lock.
    LedgerLayout {
        counts: "id > 0",
        ..ledger(
            "schema_migrations",
            Exactly(&["id", "applied", "description"]),
            "max(id)",
        )
    },
    // Sequel.
    ledger(
        "schema_migrations",
        Exactly(&["filename"]),
        r#"max(filename collate "C")"#,
    ),
    // Sequel and tern keep one row: the current version. They and Postgrator begin with 0.
    LedgerLayout {
        counts: "version > 0",
        ..ledger("schema_info", Exactly(&["version"]), "max(version)")
    },
    LedgerLayout {
        counts: "version > 0",
        ..ledger("schema_version", Exactly(&["version"]), "max(version)")
    },
    LedgerLayout {
        counts: "version > 0",
        ..ledger(
            "schemaversion",
            Exactly(&["version", "name", "md5", "run_at"]),
            "max(version)",
        )
    },
    // pop.
    ledger("schema_migration", Exactly(&["version"]), MAX_VERSION),
    // Laravel.
    ledger(
        "migrations",
        Exactly(&["id", "migration", "batch"]),
        "(array_agg(migration order by id desc))[1]",
    ),
    // TypeORM.
    ledger(
        "migrations",
        Exactly(&["id", "timestamp", "name"]),
        "(array_agg(name order by \"timestamp\" desc))[1]",
    ),
    // db-migrate.
    ledger("migrations", Exactly(&["id", "name", "run_on"]), LAST_NAME),
    // graphile-migrate.
    ledger(
        "migrations",
        Exactly(&["hash", "previous_hash", "filename", "date"]),
        "max(filename)",
    ),
    // postgres-migrations. It begins with a row of its own.
    LedgerLayout {
        counts: "id > 0",
        ..ledger(
            "migrations",
            Exactly(&["id", "name", "hash", "executed_at"]),
            LAST_NAME,
        )
    },
    // Yii begins with a row of its own.
    LedgerLayout {
        counts: "version <> 'm000000_000000_base'",
        ..ledger(
            "migration",
            Exactly(&["version", "apply_time"]),
            "(array_agg(version order by apply_time desc, version desc))[1]",
        )
    },
    ledger(
        "migration",
        Exactly(&["id", "name", "apply_time"]),
        LAST_NAME,
    ),
    // Piccolo.
    ledger(
        "migration",
        Exactly(&["id", "name", "app_name", "ran_on"]),
        "(array_agg(app_name || '.' || name order by id desc))[1]",
    ),
    // Tortoise ORM: Aerich, and its own migrations.
    ledger(
        "aerich",
        AtLeast(&["id", "version", "app", "content"]),
        "(array_agg(version order by id desc))[1]",
    ),
    ledger(
        "tortoise_migrations",
        AtLeast(&["id", "app", "name"]),
        "(array_agg(app || '.' || name order by id desc))[1]",
    ),
    // peewee-migrate.
    ledger("migratehistory", AtLeast(&["id", "name"]), LAST_NAME),
    // CakePHP 5.
    ledger(
        "cake_migrations",
        AtLeast(&["version", "migration_name"]),
        "max(version)",
    ),
    // Ragtime.
    ledger(
        "ragtime_migrations",
        AtLeast(&["id", "created_at"]),
        "(array_agg(id order by created_at desc, id desc))[1]",
    ),
    ledger("strapi_migrations", AtLeast(&["id", "name"]), LAST_NAME),
    ledger(
        "directus_migrations",
        AtLeast(&["version", "name"]),
        MAX_VERSION,
    ),
    ledger(
        "payload_migrations",
        AtLeast(&["name", "batch", "created_at"]),
        "(array_agg(name order by created_at desc, name desc))[1]",
    ),
    // Vapor.
    ledger(
        "_fluent_migrations",
        AtLeast(&["name", "batch", "created_at"]),
        "(array_agg(name order by created_at desc, name desc))[1]",
    ),
    // Evolve.
    LedgerLayout {
        counts: "success and version is not null",
        ..ledger(
            "changelog",
            Exactly(&[
                "id",
                "type",
                "version",
                "description",
                "name",
                "checksum",
                "installed_by",
                "installed_on",
                "success",
            ]),
            "(array_agg(version order by id desc))[1]",
        )
    },
    // MyBatis.
    ledger(
        "changelog",
        Exactly(&["id", "applied_at", "description"]),
        "max(id)",
    ),
];

/// Other tables of these tools. They hold no versions.
pub(super) static COMPANIONS: &[(&str, Columns)] = &[
    ("ar_internal_metadata", AtLeast(&["key", "value"])),
    ("knex_migrations_lock", AtLeast(&["is_locked"])),
    ("databasechangeloglock", AtLeast(&["id", "locked"])),
    ("kysely_migration_lock", AtLeast(&["id", "is_locked"])),
    ("typeorm_metadata", AtLeast(&["type", "name", "value"])),
    ("SequelizeData", Exactly(&["name"])),
    ("bun_migration_locks", AtLeast(&["id", "table_name"])),
    ("play_evolutions_lock", AtLeast(&["lock"])),
    ("_yoyo_log", AtLeast(&["migration_id", "operation"])),
    ("_yoyo_version", AtLeast(&["version", "installed_at_utc"])),
    ("yoyo_lock", AtLeast(&["locked", "pid"])),
    ("current", Exactly(&["filename", "content", "date"])),
    (
        "strapi_migrations_internal",
        AtLeast(&["id", "name", "time"]),
    ),
    // Supabase.
    ("seed_files", Exactly(&["path", "hash"])),
    // Sqitch.
    (
        "projects",
        Exactly(&[
            "project",
            "uri",
            "created_at",
            "creator_name",
            "creator_email",
        ]),
    ),
    (
        "releases",
        Exactly(&[
            "version",
            "installed_at",
            "installer_name",
            "installer_email",
        ]),
    ),
    (
        "dependencies",
        Exactly(&["change_id", "type", "dependency", "dependency_id"]),
    ),
    (
        "tags",
        Exactly(&[
            "tag_id",
            "tag",
            "project",
            "change_id",
            "note",
            "committed_at",
            "committer_name",
            "committer_email",
            "planned_at",
            "planner_name",
            "planner_email",
        ]),
    ),
    (
        "events",
        Exactly(&[
            "event",
            "change_id",
            "change",
            "project",
            "note",
            "requires",
            "conflicts",
            "tags",
            "committed_at",
            "committer_name",
            "committer_email",
            "planned_at",
            "planner_name",
            "planner_email",
        ]),
    ),
];

const FLYWAY: LedgerLayout = LedgerLayout {
    table: "flyway_schema_history",
    columns: AtLeast(&["installed_rank", "version", "type", "script", "success"]),
    // A version is a list of numbers, and Flyway can apply a lower one later.
    latest: "(array_agg(version order by string_to_array(version, '.')::numeric[] desc))[1]",
    counts: "success and version is not null and type <> 'DELETE' and type not like 'UNDO%' \
             and not exists (select from {table} later where later.version = ledger.version \
             and later.installed_rank > ledger.installed_rank \
             and (later.type = 'DELETE' or later.type like 'UNDO%'))",
    dirty: Some("min(coalesce(version, script)) filter (where not success)"),
};

const LAST_NAME: &str = "(array_agg(name order by id desc))[1]";
const MAX_NAME: &str = r#"max(name collate "C")"#;
const MAX_VERSION: &str = r#"max(version collate "C")"#;

/// A ledger that holds applied versions only.
const fn ledger(table: &'static str, columns: Columns, latest: &'static str) -> LedgerLayout {
    LedgerLayout {
        table,
        columns,
        latest,
        counts: "true",
        dirty: None,
    }
}
