//! Every error of `ebbtide.toml`, with its exact text.

use super::super::{Builder, MigrationCommand, Migrations};
use super::{ErrorKind, Package, kind_message_help, refused_file};

/// Message and help of the error of a file with this text.
fn refused(text: &str) -> (String, String) {
    let error = refused_file(text);
    assert_eq!(error.kind(), ErrorKind::Config);
    (
        error.to_string(),
        error.help().unwrap_or_default().to_owned(),
    )
}

/// Checks cases of text, message and help.
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
fn the_error_of_an_illegal_value_names_file_line_key_rule_and_value() {
    check(&[
        (
            "[server]\n\nbackend = \"dokcer\"",
            "ebbtide.toml:3: server.backend must be auto, container, native or external, \
             but is \"dokcer\"",
            "did you mean container?",
        ),
        (
            "server.storage = 'memroy'",
            r#"ebbtide.toml:1: server.storage must be auto, memory or disk, but is "memroy""#,
            "did you mean memory?",
        ),
        (
            "[server]\npostgres = 9",
            "ebbtide.toml:2: server.postgres must be a major version of PostgreSQL \
             (a whole number from 10), but is 9",
            r#"for example postgres = "17""#,
        ),
        (
            "[server]\npostgres = '17.2'",
            "ebbtide.toml:2: server.postgres must be a major version of PostgreSQL \
             (a whole number from 10), but is \"17.2\"",
            r#"for example postgres = "17""#,
        ),
        (
            "[server]\nlinger = 'soon'",
            "ebbtide.toml:2: server.linger must be a whole number with a unit (ms, s, m or h), \
             but is \"soon\"",
            r#"for example linger = "30s""#,
        ),
        (
            "[provision]\ntimeout = '0s'",
            r#"ebbtide.toml:2: provision.timeout must be greater than zero, but is "0s""#,
            r#"for example timeout = "60s""#,
        ),
        (
            "[server]\nimage = ''",
            r#"ebbtide.toml:2: server.image must not be blank, but is """#,
            r#"legal values: an image with its tag, such as "postgres:17-alpine""#,
        ),
        (
            "[server]\nurl = 'sqlite://u:p@x'",
            "ebbtide.toml:2: server.url must be the URL of a PostgreSQL server, \
             but is \"sqlite://u:***@x\"",
            r#"for example url = "postgres://user@localhost:5432/postgres""#,
        ),
        (
            "[provision.expect.rows]\na = -1",
            "ebbtide.toml:2: provision.expect.rows.a must be a number of rows \
             (a whole number from 0), but is -1",
            "legal values: whole numbers by table, such as { services = 15 }",
        ),
        (
            "[server.settings]\nwork_mem = 99999999999999999999",
            "ebbtide.toml:2: server.settings.work_mem must fit into 64 bits, \
             but is 99999999999999999999",
            r#"write a smaller number, or one with a unit, such as "8MB""#,
        ),
    ]);
}

#[test]
fn the_error_of_a_role_states_the_rule_and_the_name() {
    let name = "write the name without quotes and as the server stores it, for example \"app\"";
    check(&[
        (
            "[provision]\nroles = ['app', 'app']",
            "ebbtide.toml:2: provision.roles must have each role once, but has \"app\" twice",
            "remove one of them",
        ),
        (
            "[provision]\nroles = ['pg_monitor']",
            "ebbtide.toml:2: provision.roles must have names of new roles, but \"pg_monitor\" is \
             reserved",
            "choose another name, for example \"app\"",
        ),
        (
            "[provision]\nroles = [{ name = 'app', member_of = ['app'] }]",
            "ebbtide.toml:2: provision.roles must not make \"app\" a member of itself",
            "remove the role from its own member_of",
        ),
        (
            "[provision]\nroles = [{ member_of = ['app'] }]",
            "ebbtide.toml:2: provision.roles[0] must have a name",
            "add the key name, for example name = \"app\"",
        ),
        (
            "[provision]\nroles = [{ name = 'app', grant = [] }]",
            "ebbtide.toml:2: unknown key provision.roles[0].grant",
            "did you mean grants? legal keys: name, member_of, grants",
        ),
        (
            "[provision]\nroles = [' ']",
            "ebbtide.toml:2: provision.roles must have names of roles (1 to 63 bytes), but one is \
             \" \"",
            name,
        ),
        (
            &format!("[test]\nrole = '{}'", "a".repeat(64)),
            &format!(
                "ebbtide.toml:2: test.role must have names of roles (1 to 63 bytes), but one is \
                 {:?}",
                "a".repeat(64)
            ),
            name,
        ),
    ]);
}

#[test]
fn the_error_of_an_unknown_key_proposes_the_closest_and_lists_all_legal_ones() {
    const SERVER: &str = "legal keys: backend, postgres, image, url, allow_remote, \
                          role_password, linger, keep, keep_for, log_plans_slower_than, storage, \
                          cache, dedicated, settings, bin, state_dir, start_timeout";
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
            "did you mean migrations? legal keys: extensions, locale, encoding, locale_provider, \
             roles, owner, bootstrap, migrations, seeds, timeout, ignore_missing_tables, expect",
        ),
        (
            "[provision.expect]\ntable = []",
            "ebbtide.toml:2: unknown key provision.expect.table",
            "did you mean tables? legal keys: tables, rows, enums, row_security, role",
        ),
        (
            "provision.migrations = { comand = ['x'] }",
            "ebbtide.toml:1: unknown key provision.migrations.comand",
            "did you mean command? legal keys: command, inputs, directory, url_variable, \
             latest, sqlx, sql, refinery, diesel, dbmate, goose, sql-migrate",
        ),
        (
            "\n[servr]",
            "ebbtide.toml:2: unknown key servr",
            "did you mean server? legal keys: server, provision, test, plan",
        ),
        (
            "backend = 'auto'",
            "ebbtide.toml:1: unknown key backend",
            "move backend below [server]",
        ),
        (
            "seeds = 'seeds'",
            "ebbtide.toml:1: unknown key seeds",
            "move seeds below [provision]",
        ),
    ]);
}

#[test]
fn the_error_is_that_of_the_first_illegal_line() {
    assert_eq!(
        refused("[server]\nzebra = 1\napple = 1").0,
        "ebbtide.toml:2: unknown key server.zebra"
    );
}

#[test]
fn the_error_of_a_wrong_type_names_both_types_and_the_legal_values() {
    check(&[
        (
            "server = 1",
            "ebbtide.toml:1: server must be a table, but is an integer",
            "legal values: a table of keys, as in [server]",
        ),
        (
            "[server]\nbackend = true",
            "ebbtide.toml:2: server.backend must be a string, but is true",
            "legal values: auto, container, native, external",
        ),
        (
            "[server]\npostgres = 17.2",
            "ebbtide.toml:2: server.postgres must be a string or an integer, but is a float",
            r#"legal values: a major version from 10, such as "17""#,
        ),
        (
            "[server]\nlinger = 30",
            "ebbtide.toml:2: server.linger must be a string, but is an integer",
            r#"legal values: a whole number and a unit, such as "500ms", "30s", "5m", "1h""#,
        ),
        (
            "[server]\nallow_remote = 'yes'",
            "ebbtide.toml:2: server.allow_remote must be a boolean, but is a string",
            "legal values: true, false",
        ),
        (
            "[server.settings]\nx = [1]",
            "ebbtide.toml:2: server.settings.x must be a string, a number or a boolean, \
             but is an array",
            "legal values: a table of PostgreSQL settings, such as \
             { timezone = \"Europe/Madrid\", work_mem = \"8MB\" }",
        ),
        (
            "[provision]\nextensions = [\n  'a',\n  2026-01-01,\n]",
            "ebbtide.toml:4: provision.extensions[1] must be a string or a table, \
             but is a date or time",
            "legal values: a list of names or tables, such as \
             [\"pg_trgm\", { name = \"uuid-ossp\", schema = \"ext\" }]",
        ),
        (
            "[provision]\nmigrations = true",
            "ebbtide.toml:2: provision.migrations must be a directory, false, a table \
             or an array, but is true",
            "legal values: \"a directory\", false, { LAYOUT = \"a directory\" } with the layout \
             sqlx, sql, refinery, diesel, dbmate, goose or sql-migrate, { command = [\"program\", \
             \"argument\"], inputs = [\"a directory\"] }, or an array of them",
        ),
        (
            "[provision]\nseeds = {}",
            "ebbtide.toml:2: provision.seeds must be a directory or false, but is a table",
            r#"legal values: "a directory", false"#,
        ),
        (
            "[provision.expect]\nrows = { a = 'many' }",
            "ebbtide.toml:2: provision.expect.rows.a must be an integer, but is a string",
            "legal values: whole numbers by table, such as { services = 15 }",
        ),
        (
            "[provision.expect.enums]\nmood = 'sad'",
            "ebbtide.toml:2: provision.expect.enums.mood must be an array, but is a string",
            r#"legal values: labels by type, such as { mood = ["sad", "happy"] }"#,
        ),
    ]);
}

#[test]
fn the_file_cannot_set_settings_that_ebbtide_manages() {
    let managed = "remove it: ebbtide decides where its servers listen, log and keep their data";
    let name = "begin the name with a letter or _, and continue with letters, digits, _ and ., \
                for example work_mem or pg_trgm.similarity_threshold";
    let zero = "remove the zero byte: no setting of PostgreSQL can contain one";
    check(&[
        (
            "[server]\nsettings = { port = 1 }",
            "ebbtide.toml:2: server.settings.port is managed by ebbtide and cannot be set",
            managed,
        ),
        (
            "[server.settings]\n1a = 1",
            "ebbtide.toml:2: a key of server.settings must be the name of a setting, \
             but is \"1a\"",
            name,
        ),
        (
            "[server.settings]\na = \"\\u0000\"",
            "ebbtide.toml:2: server.settings.a must not contain a zero byte",
            zero,
        ),
    ]);
}

#[test]
fn a_command_needs_a_program_and_inputs_that_exist() {
    check(&[
        (
            "[provision]\nmigrations = { inputs = ['x'] }",
            "ebbtide.toml:2: provision.migrations must have a command with a program, but has none",
            r#"set command to a program and its arguments, such as ["alembic", "upgrade", "head"]"#,
        ),
        (
            "[provision]\nmigrations = { command = ['x'] }",
            "ebbtide.toml:2: provision.migrations must have inputs beside a command, but has none",
            "list the files and directories that determine what the command does, \
             for example inputs = [\"alembic\"]",
        ),
    ]);
    let text = "[provision]\nmigrations = { command = ['x', 'y'], inputs = ['alembic'] }";
    let package = Package::with_file(text);
    let error = package.plan(&Builder::new(), &[]).expect_err("no inputs");
    let message = format!(
        "every input of a migration command must exist, but {} does not (ebbtide.toml:2)",
        package.path("alembic").display()
    );
    let help = "create it, or correct the path, which is relative to ebbtide.toml, \
                or to the package if code sets it";
    assert_eq!(
        kind_message_help(&error),
        (ErrorKind::MigrationSource, message, help)
    );
    let package = package.dir("alembic");
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    let command = MigrationCommand::new(["x", "y"])
        .input(package.path("alembic"))
        .directory(package.root());
    assert_eq!(*plan.migrations, Some(Migrations::from(command)));
}

#[test]
fn a_table_with_a_layout_has_exactly_one_directory() {
    check(&[
        (
            "[provision]\nmigrations = { disel = 'db' }",
            "ebbtide.toml:2: unknown key provision.migrations.disel",
            "did you mean diesel? legal keys: command, inputs, directory, url_variable, \
             latest, sqlx, sql, refinery, diesel, dbmate, goose, sql-migrate",
        ),
        (
            "[provision]\nmigrations = { diesel = 'db', sql = 'db' }",
            "ebbtide.toml:2: provision.migrations must have one layout or one command, \
             but has diesel and sql",
            "remove one of the two keys",
        ),
    ]);
    let package = Package::with_file("[provision]\nmigrations = { refinery = 'db' }").dir("db");
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    assert_eq!(
        *plan.migrations,
        Some(Migrations::refinery(package.path("db")))
    );
}

#[test]
fn the_builder_checks_a_command_like_the_file() {
    let package = Package::with_file("").dir("alembic");
    let refused = |command: MigrationCommand| {
        package
            .plan(&Builder::new().migrations(command), &[])
            .expect_err("refused")
    };
    let nothing = MigrationCommand::new([""]).input("alembic");
    assert_eq!(
        refused(nothing).to_string(),
        "a migration command must have a program, but has none (builder)"
    );
    let without_inputs = MigrationCommand::new(["alembic", "upgrade"]);
    assert_eq!(
        refused(without_inputs.clone()).to_string(),
        "a migration command must have inputs, but alembic upgrade has none (builder)"
    );
    let with_illegal_name = without_inputs
        .clone()
        .input("alembic")
        .url_variable("MY-URL");
    assert_eq!(
        refused(with_illegal_name).to_string(),
        "url_variable must be a variable's name (letters, digits and _), \
         but is \"MY-URL\" (builder)"
    );
    let without_latest =
        MigrationCommand::new(["alembic", "upgrade", "{revision}"]).input("alembic");
    assert_eq!(
        refused(without_latest).to_string(),
        "a migration command with {revision} must have `latest`, \
         but alembic upgrade {revision} has none (builder)"
    );
    let without_place = without_inputs.clone().input("alembic").latest("head");
    assert_eq!(
        refused(without_place).to_string(),
        "a migration command with `latest` must have {revision} among its arguments, \
         but alembic upgrade has none (builder)"
    );
    let without_dir = refused(without_inputs.input("alembic").directory("nowhere"));
    let message = format!(
        "the directory of a migration command must exist, but there is none at {} (builder)",
        package.path("nowhere").display()
    );
    assert_eq!(without_dir.to_string(), message);
}

#[test]
fn the_error_of_invalid_toml_has_line_column_and_excerpt() {
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
        report.ends_with("\n  help: correct the line; https://toml.io documents the format"),
        "{report}"
    );
    let report = format!("{:?}", refused_file("[server]\n\"日本\" = = 'auto'\n"));
    let caret = format!("{:9}^", "");
    assert!(
        report.contains(&format!("\n    \"日本\" = = 'auto'\n    {caret}\n")),
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
fn the_error_of_a_line_with_a_password_names_the_key_and_does_not_print_the_value() {
    for (line, safe) in [
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
        assert!(report.contains(&format!("\n    {safe}\n")), "{report}");
        assert!(error.to_string().starts_with("ebbtide.toml:"), "{report}");
    }
}

#[test]
fn no_error_prints_a_password_in_the_value_of_any_key() {
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
