//! Up, down and up again: what a down migration leaves behind, and what it removes by mistake.

use crate::support::Scratch;
use crate::support::reports::{assert_no_build_remains, assert_report_contains, replacements};
use ebbtide::report::ReversibleReport;
use ebbtide::schema::Schema;
use ebbtide::{ErrorKind, Harness};

/// A migration: its file's name, and the statements of up and down.
type Migration = (&'static str, &'static str, &'static str);

const USERS: Migration = (
    "1_users",
    "create table users (id int primary key, name text not null);",
    "drop table users;",
);
const NOTES: Migration = (
    "3_notes",
    "create table notes (id int);",
    "drop table notes;",
);

fn harness(scratch: &Scratch, migrations: &[Migration]) -> Harness {
    for (name, up, down) in migrations {
        scratch.write(&format!("migrations/{name}.up.sql"), up);
        scratch.write(&format!("migrations/{name}.down.sql"), down);
    }
    scratch.builder().build().unwrap()
}

async fn check(scratch: &Scratch, migrations: &[Migration]) -> ebbtide::Result<ReversibleReport> {
    harness(scratch, migrations).check_reversible().await
}

#[tokio::test]
async fn a_down_migration_that_restores_the_schema_is_clean() {
    let scratch = Scratch::new();
    let migrations = [
        USERS,
        (
            "2_names",
            "create index users_name_idx on users (name); set quote_all_identifiers = on;",
            "drop index public.users_name_idx;",
        ),
        (
            "3_mood",
            "create type mood as enum ('calm'); alter table users add mood mood;",
            "alter table users drop mood; drop type mood;",
        ),
    ];
    scratch.write("migrations/4_one_way.sql", "create table notes (id int);");
    let report = check(&scratch, &migrations).await.unwrap();
    assert!(report.is_clean(), "{report}");
    let steps: Vec<_> = report
        .migrations
        .iter()
        .map(|step| (&*step.version, &*step.description, step.reversible))
        .collect();
    assert_eq!(
        steps,
        [
            ("1", "users", true),
            ("2", "names", true),
            ("3", "mood", true),
            ("4", "one way", false)
        ]
    );
    assert_eq!(
        report.to_string(),
        "3 of 4 migrations have a down migration, 0 of them broken"
    );
    assert_eq!(
        report.migrations[0].to_string(),
        "migration 1 (users): up, down and up restore the same schema"
    );
    assert_eq!(
        report.migrations[3].to_string(),
        "migration 4 (one way): no down migration"
    );
    assert_no_build_remains().await;
}

#[tokio::test]
async fn what_a_down_migration_leaves_or_removes_is_listed() {
    let scratch = Scratch::new();
    let migrations = [
        USERS,
        (
            "2_moods",
            "create type mood as enum ('calm'); alter table users add mood mood, add age int default 1;",
            // Leaves the type behind, and drops the column `name` by mistake.
            "alter table users drop mood, drop age, drop name;",
        ),
        NOTES,
    ];
    let report = check(&scratch, &migrations).await.unwrap();
    assert!(!report.is_clean());
    replacements(&scratch).bind(|| {
        insta::assert_snapshot!(report, @r#"
    2 of 3 migrations have a down migration, 1 of them broken
    migration 2 (moods): down does not restore the schema from before up
      missing (1):
        column users.name
      extra (1):
        enum mood
      the second up is refused: migration 2 (moods) failed at [SCRATCH]/migrations/2_moods.up.sql:1:1: type "mood" already exists
    1 not checked, because the schema before them could not be restored
    "#);
    });
    assert!(report.migrations[1].up_refused.is_some());
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_second_up_with_a_different_result_is_reported_and_the_rest_is_checked() {
    let scratch = Scratch::new();
    let migrations = [
        USERS,
        (
            "2_ages",
            "alter table users add column if not exists age int default 1;",
            "alter table users alter age drop default;",
        ),
        NOTES,
    ];
    let report = check(&scratch, &migrations).await.unwrap();
    insta::assert_snapshot!(report, @r"
    3 of 3 migrations have a down migration, 1 of them broken
    migration 2 (ages): down does not restore the schema from before up
      extra (1):
        column users.age
      the second up makes a different schema
      different (1):
        column users.age
          expected: integer default 1
          found:    integer
    ");
    assert_eq!(report.unchecked, 0);
    assert!(report.migrations[2].is_clean());
}

#[tokio::test]
async fn a_refused_down_migration_is_a_finding_and_the_rest_is_checked() {
    let scratch = Scratch::new();
    let migrations = [
        USERS,
        (
            "2_notes",
            "create table notes (id int);",
            "select 1;\ndrop table note;",
        ),
        (
            "3_views",
            "create view names as select name from users;",
            "do $$ begin raise exception 'views cannot be reverted'; end $$;",
        ),
        ("4_pets", "create table pets (id int);", "drop table pets;"),
    ];
    let report = check(&scratch, &migrations).await.unwrap();
    replacements(&scratch).bind(|| {
        insta::assert_snapshot!(report, @r#"
    4 of 4 migrations have a down migration, 2 of them broken
    migration 2 (notes): down is refused: reverting migration 2 (notes) failed at [SCRATCH]/migrations/2_notes.down.sql:2:1: table "note" does not exist
    migration 3 (views): down is refused: reverting migration 3 (views) failed at [SCRATCH]/migrations/3_views.down.sql:1:1: views cannot be reverted
    "#);
    });
    assert!(report.migrations[3].is_clean());
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_half_done_down_migration_is_compared_and_ends_the_check() {
    let scratch = Scratch::new();
    let migrations = [
        (
            "1_users",
            "create table users (id int); create table notes (id int);",
            "-- no-transaction\ndrop table notes; commit; drop table note;",
        ),
        NOTES,
    ];
    let report = check(&scratch, &migrations).await.unwrap();
    let step = &report.migrations[0];
    assert!(
        step.down_refused.is_some() && step.up_refused.is_none(),
        "{report}"
    );
    assert!(
        !step.after_down.is_clean() && step.after_up.is_clean(),
        "{report}"
    );
    assert_eq!(report.unchecked, 1);
}

#[tokio::test]
async fn diesels_down_migrations_are_checked_as_well() {
    let scratch = Scratch::new();
    for (directory, up, down) in [
        ("2026-01-01-000000_users", USERS.1, Some(USERS.2)),
        (
            "2026-01-02-000000_ages",
            "alter table users add age int;",
            None,
        ),
        (
            "2026-01-03-000000_notes",
            "create table notes (id int);",
            Some("drop table note;"),
        ),
        (
            "2026-01-04-000000_index",
            "create index concurrently on users (name);",
            Some("select 1;"),
        ),
    ] {
        scratch.write(&format!("migrations/{directory}/up.sql"), up);
        if let Some(down) = down {
            scratch.write(&format!("migrations/{directory}/down.sql"), down);
        }
    }
    scratch.write(
        "migrations/2026-01-04-000000_index/metadata.toml",
        "run_in_transaction = false",
    );
    let report = check(&scratch, &[]).await.unwrap();
    replacements(&scratch).bind(|| {
        insta::assert_snapshot!(report, @r#"
    3 of 4 migrations have a down migration, 2 of them broken
    migration 20260103000000 (notes): down is refused: reverting migration 20260103000000 (notes) failed at [SCRATCH]/migrations/2026-01-03-000000_notes/down.sql:1:1: table "note" does not exist
    migration 20260104000000 (index): down does not restore the schema from before up
      extra (1):
        index users_name_idx
      the second up makes a different schema
      extra (1):
        index users_name_idx1
    "#);
    });

    scratch.write("migrations/2026-01-04-000000_index/down.sql", "");
    let error = check(&scratch, &[]).await.unwrap_err();
    let texts = [
        "diesel refuses an empty file",
        "000000_index/down.sql is empty",
    ];
    assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
    assert_no_build_remains().await;
}

/// The lines of a tool before the way up, before the way down, and around a function.
const MARKED_TOOLS: [[&str; 4]; 3] = [
    ["-- migrate:up", "-- migrate:down", "", ""],
    [
        "-- +goose Up",
        "-- +goose Down",
        "-- +goose StatementBegin",
        "-- +goose StatementEnd",
    ],
    [
        "-- +migrate Up",
        "-- +migrate Down",
        "-- +migrate StatementBegin",
        "-- +migrate StatementEnd",
    ],
];

#[tokio::test]
async fn the_ways_down_in_the_files_of_dbmate_goose_and_sql_migrate_are_checked() {
    for [up, down, begin, end] in MARKED_TOOLS {
        let scratch = Scratch::new();
        let write = |name: &str, sql: [&str; 2]| {
            let text = format!("{up}\n{}\n{down}\n{}\n", sql[0], sql[1]);
            scratch.write(&format!("migrations/{name}.sql"), &text);
        };
        write(
            "1_users",
            [
                USERS.1,
                &format!("{begin}\ndo $$ begin\n drop table users;\nend $$;\n{end}"),
            ],
        );
        write("2_ages", ["alter table users add age int;", "-- nothing"]);
        write(
            "3_notes",
            ["create table notes (id int);", "\ndrop table note;"],
        );
        write(
            "4_index",
            ["create index users_name on users (name);", "select 1;"],
        );
        write(
            "5_pets",
            ["create table pets (id int);", "drop table pets;"],
        );
        let report = check(&scratch, &[]).await.unwrap();
        let text = report.to_string();
        for part in [
            "3 of 5 migrations have a down migration, 2 of them broken\n",
            "migrations/3_notes.sql:5:1: table \"note\" does not exist\n",
            "down does not restore the schema from before up\n  extra (1):\n    index users_name\n",
            "the second up is refused: ",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(report.unchecked, 1, "{text}");
        assert!(report.migrations[0].is_clean(), "{text}");
    }
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_way_down_without_a_transaction_and_one_that_its_tool_refuses() {
    for [up, down, ..] in MARKED_TOOLS {
        let scratch = Scratch::new();
        let concurrently = if up.contains("goose") {
            format!("-- +goose NO TRANSACTION\n{up}\n")
        } else if up.contains("migrate:up") {
            format!("{up} transaction:false\n")
        } else {
            format!("{up} notransaction\n")
        };
        let down_concurrently = match up {
            "-- migrate:up" => format!("{down} transaction:false"),
            "-- +migrate Up" => format!("{down} notransaction"),
            _ => down.to_owned(),
        };
        let users = format!("{up}\n{}\n{down}\n{}\n", USERS.1, USERS.2);
        scratch.write("migrations/1_users.sql", &users);
        let index = format!(
            "{concurrently}create index concurrently users_name on users (name);\n\
             {down_concurrently}\ndrop index concurrently users_name;\n"
        );
        scratch.write("migrations/2_index.sql", &index);
        let report = check(&scratch, &[]).await.unwrap();
        assert!(report.is_clean(), "{report}");
        assert!(report.migrations.iter().all(|step| step.reversible));
        if up != "-- migrate:up" {
            let unfinished = format!("{up}\nselect 1;\n{down}\nselect 2\n");
            scratch.write("migrations/3_end.sql", &unfinished);
            let error = check(&scratch, &[]).await.unwrap_err();
            let texts = ["3_end.sql:4:1", "must end with the semicolon"];
            assert_report_contains(&error, ErrorKind::MigrationSource, &texts);
        }
    }
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_check_without_a_down_migration_is_refused_before_anything_is_applied() {
    let scratch = Scratch::new();
    // Applying it would fail.
    scratch.write("migrations/1_users.sql", "select 1 / 0;");
    let error = check(&scratch, &[]).await.unwrap_err();
    let texts = ["at least one migration must have a down migration, but none of 1 has one"];
    assert_report_contains(&error, ErrorKind::Config, &texts);
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_check_without_migrations_is_refused() {
    let scratch = Scratch::new();
    let error = scratch
        .builder()
        .build()
        .unwrap()
        .check_reversible()
        .await
        .unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::Config,
        &[
            "only sqlx, diesel, dbmate, goose or sql-migrate migrations can be reverted",
            "to a directory of sqlx, diesel, dbmate, goose or sql-migrate migrations",
        ],
    );
}

#[tokio::test]
async fn a_check_ignores_fixtures_and_seeds_and_does_not_change_the_template() {
    let scratch = Scratch::new();
    scratch.write("seeds/1.sql", "insert into users values (1, 'Laura');");
    let harness = harness(&scratch, &[USERS]);
    let before = schema(&harness).await;
    let fixture =
        ebbtide::Setup::new().fixture("marta.sql", "insert into users values (2, 'Marta')");
    let report = harness
        .with_setup(fixture)
        .check_reversible()
        .await
        .unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(schema(&harness).await, before);
}

#[tokio::test]
async fn concurrent_checks_do_not_disturb_each_other() {
    let scratch = Scratch::new();
    let migrations = [
        USERS,
        (
            "2_notes",
            "create table notes (id int);",
            "drop table notes;",
        ),
    ];
    harness(&scratch, &migrations);
    let all = (0..4).map(|_| {
        let harness = scratch.builder().build().unwrap();
        tokio::spawn(async move { harness.check_reversible().await.unwrap() })
    });
    for check in all.collect::<Vec<_>>() {
        let report = check.await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_dropped_check_leaves_no_database() {
    let scratch = Scratch::new();
    let harness = harness(
        &scratch,
        &[(USERS.0, USERS.1, "drop table users; select pg_sleep(2);")],
    );
    harness.provision().await.unwrap();
    {
        let mut checking = Box::pin(harness.check_reversible());
        let mut tx = harness.tx().await.unwrap();
        loop {
            let pause = std::time::Duration::from_millis(5);
            assert!(
                tokio::time::timeout(pause, &mut checking).await.is_err(),
                "the check ended before it could be dropped"
            );
            let building = "select exists (select from pg_stat_activity where datname like 'ebbtide\\_b\\_%' and query like '%pg_sleep%')";
            // Within a transaction, pg_stat_activity returns the same snapshot until it is cleared.
            sqlx::query("select pg_stat_clear_snapshot()")
                .execute(&mut *tx)
                .await
                .unwrap();
            if sqlx::query_scalar(building)
                .fetch_one(&mut *tx)
                .await
                .unwrap()
            {
                break;
            }
        }
        tx.close().await.unwrap();
    }
    assert_no_build_remains().await;
}

async fn schema(harness: &Harness) -> Schema {
    let database = harness.database().await.unwrap();
    let schema = Schema::read(&mut database.pool().acquire().await.unwrap())
        .await
        .unwrap();
    database.close().await.unwrap();
    schema
}
