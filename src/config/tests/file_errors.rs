//! Everything that `ebbtide.toml` can get wrong, with the exact text.

use super::super::{Builder, MigrationCommand, Migrations};
use super::{ErrorKind, Package, refused_file, told};

/// Message and help.
fn refused(text: &str) -> (String, String) {
    let error = refused_file(text);
    assert_eq!(error.kind(), ErrorKind::Config);
    (
        error.to_string(),
        error.help().unwrap_or_default().to_owned(),
    )
}

fn check(cases: &[(&str, &str, &str)]) {
    for (text, message, help) in cases {
        assert_eq!(
            refused(text),
            ((*message).to_owned(), (*help).to_owned()),
            "{text}"
        );
    }
}

#[test]
fn illegal_values_are_refused_with_file_line_key_and_legal_values() {
    check(&[
        (
            "[server]\n\nbackend = \"dokcer\"",
            r#"ebbtide.toml:3: server.backend = "dokcer" is not one of: auto, container, native, external"#,
            "did you mean container?",
        ),
        (
            "server.storage = 'memroy'",
            r#"ebbtide.toml:1: server.storage = "memroy" is not one of: auto, memory, disk"#,
            "did you mean memory?",
        ),
        (
            "[server]\npostgres = 9",
            "ebbtide.toml:2: server.postgres = 9 is not a major version of PostgreSQL: a whole number from 10, such as 17",
            "",
        ),
        (
            "[server]\npostgres = '17.2'",
            r#"ebbtide.toml:2: server.postgres = "17.2" is not a major version of PostgreSQL: a whole number from 10, such as 17"#,
            "",
        ),
        (
            "[server]\nlinger = 'soon'",
            r#"ebbtide.toml:2: server.linger = "soon" is not a duration: a whole number and a unit, such as 500ms, 30s, 5m, 1h"#,
            "",
        ),
        (
            "[provision]\ntimeout = '0s'",
            r#"ebbtide.toml:2: provision.timeout = "0s" is not a limit that anything could meet: write a longer one, such as 60s"#,
            "",
        ),
        (
            "[server]\nimage = ''",
            r#"ebbtide.toml:2: server.image = "" is not a value"#,
            r#"legal values: an image with its tag, such as "postgres:17-alpine""#,
        ),
        (
            "[server]\nurl = 'sqlite://u:p@x'",
            r#"ebbtide.toml:2: server.url = "sqlite://u:***@x" is not the URL of a PostgreSQL server, such as postgres://user@localhost:5432/postgres"#,
            "",
        ),
        (
            "[provision.expect.rows]\na = -1",
            "ebbtide.toml:2: provision.expect.rows.a = -1 is not a number of rows: a whole number from 0",
            "",
        ),
        (
            "[server.settings]\nwork_mem = 99999999999999999999",
            "ebbtide.toml:2: server.settings.work_mem = 99999999999999999999 is too large for any setting",
            "",
        ),
    ]);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_and_all_legal_ones() {
    const SERVER: &str = "legal keys: backend, postgres, image, url, allow_remote, linger, keep, keep_for, log_plans_slower_than, storage, cache, \
                          dedicated, settings, bin, state_dir, start_timeout";
    check(&[
        (
            "[server]\n\n\nbakend = 'auto'",
            "ebbtide.toml:4: unknown key server.bakend",
            &format!("did you mean backend? {SERVER}"),
        ),
        (
            "[server]\ncolour = 1",
            "ebbtide.toml:2: unknown key server.colour",
            SERVER,
        ),
        (
            "[provision]\nmigration = 'x'",
            "ebbtide.toml:2: unknown key provision.migration",
            "did you mean migrations? legal keys: extensions, migrations, seeds, timeout, expect",
        ),
        (
            "[provision.expect]\ntable = []",
            "ebbtide.toml:2: unknown key provision.expect.table",
            "did you mean tables? legal keys: tables, rows, enums",
        ),
        (
            "provision.migrations = { comand = ['x'] }",
            "ebbtide.toml:1: unknown key provision.migrations.comand",
            "did you mean command? legal keys: command, inputs, directory, url_variable, sqlx, sql, refinery, diesel",
        ),
        (
            "\n[servr]",
            "ebbtide.toml:2: unknown key servr",
            "did you mean server? legal keys: server, provision",
        ),
        (
            "backend = 'auto'",
            "ebbtide.toml:1: unknown key backend",
            "put backend below [server]",
        ),
        (
            "seeds = 'seeds'",
            "ebbtide.toml:1: unknown key seeds",
            "put seeds below [provision]",
        ),
    ]);
}

#[test]
fn the_first_mistake_in_the_file_is_told() {
    assert_eq!(
        refused("[server]\nzebra = 1\napple = 1").0,
        "ebbtide.toml:2: unknown key server.zebra"
    );
}

#[test]
fn wrong_types_are_refused_with_both_types_and_legal_values() {
    check(&[
        (
            "server = 1",
            "ebbtide.toml:1: server is an integer, not a table",
            "legal values: a table of keys, as in [server]",
        ),
        (
            "[server]\nbackend = true",
            "ebbtide.toml:2: server.backend is true, not a string",
            "legal values: auto, container, native, external",
        ),
        (
            "[server]\npostgres = 17.2",
            "ebbtide.toml:2: server.postgres is a float, not a string or an integer",
            r#"legal values: a major version from 10, such as "17""#,
        ),
        (
            "[server]\nlinger = 30",
            "ebbtide.toml:2: server.linger is an integer, not a string",
            r#"legal values: a whole number and a unit, such as "500ms", "30s", "5m", "1h""#,
        ),
        (
            "[server]\nallow_remote = 'yes'",
            "ebbtide.toml:2: server.allow_remote is a string, not a boolean",
            "legal values: true, false",
        ),
        (
            "[server.settings]\nx = [1]",
            "ebbtide.toml:2: server.settings.x is an array, not a string, a number or a boolean",
            r#"legal values: a table of PostgreSQL settings, such as { timezone = "Europe/Madrid", work_mem = "8MB" }"#,
        ),
        (
            "[provision]\nextensions = [\n  'a',\n  2026-01-01,\n]",
            "ebbtide.toml:4: provision.extensions[1] is a date or time, not a string",
            r#"legal values: a list of names, such as ["uuid-ossp", "pg_trgm"]"#,
        ),
        (
            "[provision]\nmigrations = true",
            "ebbtide.toml:2: provision.migrations is true, not a directory, false or a table",
            r#"legal values: "a directory", false, { LAYOUT = "a directory" } with the layout sqlx, sql, refinery or diesel, or { command = ["program", "argument"], inputs = ["a directory"] }"#,
        ),
        (
            "[provision]\nseeds = {}",
            "ebbtide.toml:2: provision.seeds is a table, not a directory or false",
            r#"legal values: "a directory", false"#,
        ),
        (
            "[provision.expect]\nrows = { a = 'many' }",
            "ebbtide.toml:2: provision.expect.rows.a is a string, not an integer",
            "legal values: whole numbers by table, such as { services = 15 }",
        ),
        (
            "[provision.expect.enums]\nmood = 'sad'",
            "ebbtide.toml:2: provision.expect.enums.mood is a string, not an array",
            r#"legal values: labels by type, such as { mood = ["sad", "happy"] }"#,
        ),
    ]);
}

#[test]
fn settings_of_the_file_are_checked_by_name() {
    let owned = "remove it: ebbtide decides where its servers listen, log and keep their data";
    let name = "a name is letters, digits, _ and . and begins with a letter or _, \
                as in work_mem or pg_trgm.similarity_threshold";
    let zero = "remove the zero byte: no setting of PostgreSQL can hold one";
    check(&[
        (
            "[server]\nsettings = { port = 1 }",
            "ebbtide.toml:2: server.settings.port is not yours to set",
            owned,
        ),
        (
            "[server.settings]\n1a = 1",
            "ebbtide.toml:2: server.settings.1a is not the name of a setting",
            name,
        ),
        (
            "[server.settings]\na = \"\\u0000\"",
            "ebbtide.toml:2: server.settings.a holds a zero byte",
            zero,
        ),
    ]);
}

#[test]
fn a_command_needs_a_program_and_inputs_that_exist() {
    check(&[
        (
            "[provision]\nmigrations = { inputs = ['x'] }",
            "ebbtide.toml:2: provision.migrations names no command",
            r#"name a program and its arguments, such as ["alembic", "upgrade", "head"] as command"#,
        ),
        (
            "[provision]\nmigrations = { command = ['x'] }",
            "ebbtide.toml:2: provision.migrations has a command and no inputs",
            r#"name the files and directories that decide its outcome, as in inputs = ["alembic"]"#,
        ),
    ]);
    let text = "[provision]\nmigrations = { command = ['x', 'y'], inputs = ['alembic'] }";
    let package = Package::with_file(text);
    let error = package.plan(&Builder::new(), &[]).expect_err("no inputs");
    let message = format!(
        "migrations input {} does not exist (ebbtide.toml:2)",
        package.path("alembic").display()
    );
    let help = "create it, or correct inputs: files and directories, relative to ebbtide.toml";
    assert_eq!(told(&error), (ErrorKind::MigrationSource, message, help));
    let package = package.dir("alembic");
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    let command = MigrationCommand::new(["x", "y"])
        .input(package.path("alembic"))
        .directory(&package.root);
    assert_eq!(*plan.migrations, Migrations::Command(command));
}

#[test]
fn migrations_of_a_named_layout_are_a_table_of_one_directory() {
    check(&[
        (
            "[provision]\nmigrations = { disel = 'db' }",
            "ebbtide.toml:2: unknown key provision.migrations.disel",
            "did you mean diesel? legal keys: command, inputs, directory, url_variable, sqlx, sql, refinery, diesel",
        ),
        (
            "[provision]\nmigrations = { diesel = 'db', sql = 'db' }",
            "ebbtide.toml:2: provision.migrations has both diesel and sql",
            "name one directory with one layout, or one command",
        ),
    ]);
    let package = Package::with_file("[provision]\nmigrations = { refinery = 'db' }").dir("db");
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    assert_eq!(*plan.migrations, Migrations::refinery(package.path("db")));
}

#[test]
fn a_command_is_checked_on_the_builder_too() {
    let package = Package::with_file("").dir("alembic");
    let refused = |command: MigrationCommand| {
        package
            .plan(&Builder::new().migrations(command), &[])
            .expect_err("refused")
    };
    let nothing = MigrationCommand::new([""]).input("alembic");
    assert_eq!(
        refused(nothing).to_string(),
        "migrations name no command (builder)"
    );
    let blind = MigrationCommand::new(["alembic", "upgrade"]);
    assert_eq!(
        refused(blind.clone()).to_string(),
        "the command alembic upgrade has no inputs (builder)"
    );
    let odd = blind.clone().input("alembic").url_variable("MY-URL");
    assert_eq!(
        refused(odd).to_string(),
        r#"url_variable "MY-URL" is no name of a variable (builder)"#
    );
    let lost = refused(blind.input("alembic").directory("nowhere"));
    assert!(
        lost.to_string()
            .ends_with("/nowhere is not there (builder)"),
        "{lost}"
    );
}

#[test]
fn broken_toml_is_shown_with_line_column_and_excerpt() {
    let error = refused_file("[server]\nbackend = = 'auto'\n");
    let report = format!("{error:?}");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error
            .to_string()
            .starts_with("ebbtide.toml:2:11: not valid TOML: "),
        "{error}"
    );
    assert!(
        report.contains("\n  line 2:\n    backend = = 'auto'\n              ^\n"),
        "{report}"
    );
    assert!(
        report.ends_with("\n  help: correct the line; toml.io explains the format"),
        "{report}"
    );
    let error = refused_file("[server]\nimage = 'a'\nimage = 'b'\n");
    assert!(
        error
            .to_string()
            .starts_with("ebbtide.toml:3:1: not valid TOML: "),
        "{error}"
    );
    let error = refused_file("[server]\nimage = 'a");
    assert!(error.to_string().starts_with("ebbtide.toml:2:"), "{error}");
}

#[test]
fn a_line_with_a_password_is_named_and_not_shown() {
    for (line, shown) in [
        ("url = \"postgres://bob:hunter2@db/app", "url = ***"),
        ("url = 'postgres://bob:hunter2@db/app\"", "url = ***"),
        ("url = postgres://bob:hunter2@db/app", "url = ***"),
        ("url = \"postgres://db/app?password=hunter2", "url = ***"),
        ("url = \"postgres://db/app?%70assword=hunter2", "url = ***"),
        ("url = \"host=db password = hunter2", "url = ***"),
        ("url = \"postgres://bob:hunter2", "url = ***"),
        ("url = \"\"\"postgres://bob:hunter2@db/app", "url = ***"),
        ("url = \"\"\"postgres://\\\nbob:hunter2@db/app", "***"),
        ("url = \"postgres://bob:hunter2@db/app\" x", "url = ***"),
        ("url = \"postgres://bob:hunter2@db/\\q\"", "url = ***"),
        (
            "settings = { \"app.password\" = \"hunter2 }",
            "settings = ***",
        ),
    ] {
        let error = refused_file(&format!("[server]\n{line}"));
        let report = format!("{error:?} {error} {error:#?}");
        assert!(!report.contains("hunter2"), "{report}");
        assert!(report.contains(&format!("\n    {shown}\n")), "{report}");
        assert!(error.to_string().starts_with("ebbtide.toml:"), "{report}");
    }
}

#[test]
fn a_password_in_a_value_of_any_key_is_not_shown() {
    for text in [
        "url = 'host=db password = hunter2'",
        "url = 'mysql://bob:hunter2@db/app'",
        "url = ['postgres://bob:hunter2@db/app']",
        "url = { password = 'hunter2' }",
        "password = 'hunter2'",
        "backend = 'postgres://bob:hunter2@db/app'",
        "keep_for = 'postgres://db/app?password=hunter2'",
        "settings = { port = 'postgres://bob:hunter2@db/app' }",
    ] {
        let report = format!("{:?}", refused_file(&format!("[server]\n{text}")));
        assert!(!report.contains("hunter2"), "{report}");
    }
}
