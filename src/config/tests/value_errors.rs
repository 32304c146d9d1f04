//! Every error of a variable and of the builder, with its exact text.

use std::path::Path;
use std::time::Duration;

use super::super::{Auto, Builder, External};
use super::{ErrorKind, Package, kind_message_help, refused_builder, refused_variables};

/// The message of the error of one variable.
fn variable(name: &str, value: &str) -> String {
    let error = refused_variables(&[(name, value)]);
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn the_error_of_an_illegal_word_in_a_variable_lists_the_legal_ones() {
    let error = refused_variables(&[("EBBTIDE_BACKEND", "dokcer")]);
    let text = r#"EBBTIDE_BACKEND must be auto, container, native or external, but is "dokcer""#;
    assert_eq!(
        kind_message_help(&error),
        (ErrorKind::Config, text.into(), "did you mean container?")
    );
    assert_eq!(
        variable("EBBTIDE_STORAGE", "floppy"),
        r#"EBBTIDE_STORAGE must be auto, memory or disk, but is "floppy""#
    );
    assert_eq!(
        variable("EBBTIDE_ALLOW_REMOTE", "1"),
        r#"EBBTIDE_ALLOW_REMOTE must be true or false, but is "1""#
    );
}

#[test]
fn a_variable_with_a_misspelt_form_of_an_extension_is_an_error() {
    for (value, error) in [
        (
            "pg_trgm schem ext",
            "EBBTIDE_EXTENSIONS must have extensions of the form NAME schema SCHEMA version \
             VERSION, but one is \"pg_trgm schem ext\"",
        ),
        (
            "a, b version",
            "EBBTIDE_EXTENSIONS must have extensions of the form NAME schema SCHEMA version \
             VERSION, but one is \"b version\"",
        ),
        (
            "a, a schema b",
            "EBBTIDE_EXTENSIONS must have each extension once, but has \"a\" and \"a schema b\"",
        ),
    ] {
        assert_eq!(variable("EBBTIDE_EXTENSIONS", value), error);
    }
}

#[test]
fn the_error_of_an_illegal_word_in_dot_env_names_the_file() {
    let environment = Package::new().environment(&[]);
    let environment = environment
        .with_dot_env(Path::new(".env"), "EBBTIDE_BACKEND=nativ")
        .expect("a legal line");
    let error = Builder::new()
        .resolve(&environment)
        .expect_err("an illegal word");
    let text =
        r#".env: EBBTIDE_BACKEND must be auto, container, native or external, but is "nativ""#;
    assert_eq!(
        kind_message_help(&error),
        (ErrorKind::Config, text.into(), "did you mean native?")
    );
}

#[test]
fn the_error_of_an_illegal_number_or_duration_names_rule_and_value() {
    let major = "must be a major version of PostgreSQL (a whole number from 10)";
    for value in ["seventeen", "17.2", "9", "-1", "99999999999"] {
        assert_eq!(
            variable("EBBTIDE_POSTGRES", value),
            format!("EBBTIDE_POSTGRES {major}, but is {value:?}")
        );
    }
    let duration = "must be a whole number with a unit (ms, s, m or h)";
    for name in [
        "EBBTIDE_LINGER",
        "EBBTIDE_START_TIMEOUT",
        "EBBTIDE_PROVISION_TIMEOUT",
    ] {
        assert_eq!(
            variable(name, "30"),
            format!(r#"{name} {duration}, but is "30""#)
        );
    }
    for name in ["EBBTIDE_START_TIMEOUT", "EBBTIDE_PROVISION_TIMEOUT"] {
        let error = refused_variables(&[(name, "0s")]);
        let text = format!(r#"{name} must be greater than zero, but is "0s""#);
        let help = format!("for example {name}=60s");
        assert_eq!(
            kind_message_help(&error),
            (ErrorKind::Config, text, help.as_str())
        );
    }
}

#[test]
fn a_linger_of_zero_is_legal() {
    let plan = Package::new()
        .plan(&Builder::new(), &[("EBBTIDE_LINGER", "0s")])
        .expect("legal");
    assert_eq!(*plan.linger, Duration::ZERO);
}

#[test]
fn the_error_of_another_databases_url_does_not_print_the_password() {
    let rule = "must be the URL of a PostgreSQL server";
    assert_eq!(
        variable("EBBTIDE_URL", "mysql://u:secret@h/d"),
        format!(r#"EBBTIDE_URL {rule}, but is "mysql://u:***@h/d""#)
    );
    let error =
        refused_builder(&Builder::new().backend(External::new().url("host=h password=secret")));
    assert_eq!(
        error.to_string(),
        format!(r#"the argument of url() {rule}, but is "host=h password=***""#)
    );
}

#[cfg(unix)]
#[test]
fn only_a_path_may_be_other_than_utf8() {
    use std::os::unix::ffi::OsStrExt;

    use super::super::Environment;

    let value = std::ffi::OsStr::from_bytes(b"\xff");
    let package = Package::new();
    let environment = Environment::new([("EBBTIDE_IMAGE", value)], package.root(), "/tmp", 0);
    let error = Builder::new().resolve(&environment).expect_err("not text");
    let help = "set EBBTIDE_IMAGE to UTF-8 text, or unset it";
    assert_eq!(
        kind_message_help(&error),
        (
            ErrorKind::Config,
            "EBBTIDE_IMAGE must be valid UTF-8, but is not".into(),
            help
        )
    );
    let environment = Environment::new([("EBBTIDE_PG_BIN", value)], package.root(), "/tmp", 0);
    let plan = Builder::new()
        .resolve(&environment)
        .expect("a path may hold any bytes");
    assert_eq!(
        plan.bin.as_deref(),
        Some(package.root().join(value).as_path())
    );
}

#[test]
fn the_builder_has_the_same_rules() {
    // On the heap: a builder has more than a kilobyte.
    let cases = vec![
        (
            Builder::new().postgres(9),
            "the argument of Builder::postgres must be a major version of PostgreSQL \
             (a whole number from 10), but is 9",
        ),
        (
            Builder::new().backend(Auto::new().image(" ")),
            r#"the argument of image() must not be blank, but is " ""#,
        ),
        (
            Builder::new().start_timeout(Duration::ZERO),
            "the argument of Builder::start_timeout must be greater than zero, but is 0s",
        ),
        (
            Builder::new().provision_timeout(Duration::ZERO),
            "the argument of Builder::provision_timeout must be greater than zero, but is 0s",
        ),
        (
            Builder::new().setting("port", "1"),
            r#"Builder::setting("port", ..): port is managed by ebbtide and cannot be set"#,
        ),
        (
            Builder::new().setting("Work Mem", "1"),
            "the first argument of Builder::setting must be the name of a setting, \
             but is \"work mem\"",
        ),
        (
            Builder::new().setting("work_mem", "1\0"),
            r#"Builder::setting("work_mem", ..): work_mem must not contain a zero byte"#,
        ),
    ];
    for (builder, text) in cases {
        let error = refused_builder(&builder);
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Config, text)
        );
    }
}

#[test]
fn the_error_of_a_managed_setting_has_a_remedy() {
    let managed = "port listen_addresses unix_socket_directories unix_socket_permissions \
                   data_directory config_file hba_file ident_file external_pid_file \
                   logging_collector log_destination ebbtide.closing PORT";
    for name in managed.split_whitespace() {
        let error = refused_builder(&Builder::new().setting(name, "x"));
        let name = name.to_lowercase();
        let text = format!(
            "Builder::setting({name:?}, ..): {name} is managed by ebbtide and cannot be set"
        );
        let help = "remove it: ebbtide decides where its servers listen, log and keep their data";
        assert_eq!(kind_message_help(&error), (ErrorKind::Config, text, help));
    }
}

#[test]
fn the_error_of_a_missing_directory_names_path_source_and_remedy() {
    let package = Package::with_file("[provision]\nseeds = 'nowhere'").file("notes", "");
    let root = package.root().display();
    let error = package
        .plan(&Builder::new().without_migrations(), &[])
        .expect_err("no seeds");
    let text =
        format!("the seeds directory must exist, but {root}/nowhere does not (ebbtide.toml:2)");
    let help = "create it, correct the path, or write seeds = false to go without";
    assert_eq!(kind_message_help(&error), (ErrorKind::Seed, text, help));
    let error = package
        .plan(&Builder::new(), &[("EBBTIDE_MIGRATIONS", "notes")])
        .expect_err("no directory");
    let text = format!(
        "the migrations directory must be a directory, but {root}/notes is not (EBBTIDE_MIGRATIONS)"
    );
    let help = "create it, correct the path, or set EBBTIDE_MIGRATIONS=none to go without";
    assert_eq!(
        kind_message_help(&error),
        (ErrorKind::MigrationSource, text, help)
    );
    let error = package
        .plan(&Builder::new().migrations("db"), &[])
        .expect_err("no directory");
    let text = format!("the migrations directory must exist, but {root}/db does not (builder)");
    let help = "create it, correct the path, or call without_migrations() to go without";
    assert_eq!(
        kind_message_help(&error),
        (ErrorKind::MigrationSource, text, help)
    );
}
