//! Every illegal value of a variable and of the builder, with the exact text.

use std::path::Path;
use std::time::Duration;

use super::super::Builder;
use super::{ErrorKind, Package, refused_builder, refused_variables, told};

fn variable(name: &str, value: &str) -> String {
    let error = refused_variables(&[(name, value)]);
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn an_illegal_word_in_a_variable_is_refused_with_the_legal_ones() {
    let error = refused_variables(&[("EBBTIDE_BACKEND", "dokcer")]);
    let text = r#"EBBTIDE_BACKEND="dokcer" is not one of: auto, container, native, external"#;
    assert_eq!(
        told(&error),
        (ErrorKind::Config, text.into(), "did you mean container?")
    );
    assert_eq!(
        variable("EBBTIDE_STORAGE", "floppy"),
        r#"EBBTIDE_STORAGE="floppy" is not one of: auto, memory, disk"#
    );
    assert_eq!(
        variable("EBBTIDE_ALLOW_REMOTE", "1"),
        r#"EBBTIDE_ALLOW_REMOTE="1" is not one of: true, false"#
    );
}

#[test]
fn an_illegal_word_in_dot_env_is_refused_with_its_place() {
    let environment = Package::new().environment(&[]);
    let environment = environment
        .with_dot_env(Path::new(".env"), "EBBTIDE_BACKEND=nativ")
        .expect("a legal line");
    let error = Builder::new()
        .plan(&environment)
        .expect_err("an illegal word");
    let text = r#".env: EBBTIDE_BACKEND="nativ" is not one of: auto, container, native, external"#;
    assert_eq!(
        told(&error),
        (ErrorKind::Config, text.into(), "did you mean native?")
    );
}

#[test]
fn illegal_numbers_and_durations_in_variables_are_refused() {
    let major = "is not a major version of PostgreSQL: a whole number from 10, such as 17";
    for value in ["seventeen", "17.2", "9", "-1", "99999999999"] {
        assert_eq!(
            variable("EBBTIDE_POSTGRES", value),
            format!("EBBTIDE_POSTGRES={value:?} {major}")
        );
    }
    let duration = "is not a duration: a whole number and a unit, such as 500ms, 30s, 5m, 1h";
    for name in [
        "EBBTIDE_LINGER",
        "EBBTIDE_START_TIMEOUT",
        "EBBTIDE_PROVISION_TIMEOUT",
    ] {
        assert_eq!(variable(name, "30"), format!(r#"{name}="30" {duration}"#));
    }
    let limit = "is not a limit that anything could meet: write a longer one, such as 60s";
    for name in ["EBBTIDE_START_TIMEOUT", "EBBTIDE_PROVISION_TIMEOUT"] {
        assert_eq!(variable(name, "0s"), format!(r#"{name}="0s" {limit}"#));
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
fn a_url_of_something_else_is_refused_without_its_password() {
    let such =
        "is not the URL of a PostgreSQL server, such as postgres://user@localhost:5432/postgres";
    assert_eq!(
        variable("EBBTIDE_URL", "mysql://u:secret@h/d"),
        format!(r#"EBBTIDE_URL="mysql://u:***@h/d" {such}"#)
    );
    let error = refused_builder(&Builder::new().url("host=h password=secret"));
    assert_eq!(
        error.to_string(),
        format!(r#"Builder::url("host=h password=***") {such}"#)
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;

    use super::super::Environment;

    let value = std::ffi::OsStr::from_bytes(b"\xff");
    let package = Package::new();
    let environment = Environment::new(
        [("EBBTIDE_IMAGE", value)],
        package.root.as_path(),
        "/tmp",
        0,
    );
    let error = Builder::new().plan(&environment).expect_err("not text");
    let help = "set EBBTIDE_IMAGE to plain text, or unset it";
    assert_eq!(
        told(&error),
        (
            ErrorKind::Config,
            "EBBTIDE_IMAGE is not valid UTF-8".into(),
            help
        )
    );
    let environment = Environment::new(
        [("EBBTIDE_PG_BIN", value)],
        package.root.as_path(),
        "/tmp",
        0,
    );
    let plan = Builder::new()
        .plan(&environment)
        .expect("a path may hold any bytes");
    assert_eq!(
        plan.pg_bin.as_deref(),
        Some(package.root.join(value).as_path())
    );
}

#[test]
fn the_builder_is_held_to_the_same_rules() {
    let cases = [
        (
            Builder::new().postgres(9),
            "Builder::postgres(9) is not a major version of PostgreSQL: a whole number from 10, such as 17",
        ),
        (
            Builder::new().image(" "),
            r#"Builder::image(" ") is not a value"#,
        ),
        (
            Builder::new().start_timeout(Duration::ZERO),
            "Builder::start_timeout(0s) is not a limit that anything could meet: write a longer one, such as 60s",
        ),
        (
            Builder::new().provision_timeout(Duration::ZERO),
            "Builder::provision_timeout(0s) is not a limit that anything could meet: write a longer one, such as 60s",
        ),
        (
            Builder::new().setting("port", "1"),
            r#"Builder::setting("port", ..) is not yours to set"#,
        ),
        (
            Builder::new().setting("Work Mem", "1"),
            r#"Builder::setting("work mem", ..) is not the name of a setting"#,
        ),
        (
            Builder::new().setting("work_mem", "1\0"),
            r#"Builder::setting("work_mem", ..) holds a zero byte"#,
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
fn every_setting_that_ebbtide_owns_is_refused_with_a_remedy() {
    let owned = "port listen_addresses unix_socket_directories unix_socket_permissions data_directory config_file \
                 hba_file ident_file external_pid_file logging_collector log_destination ebbtide.closing PORT";
    for name in owned.split_whitespace() {
        let error = refused_builder(&Builder::new().setting(name, "x"));
        let text = format!(
            "Builder::setting({:?}, ..) is not yours to set",
            name.to_lowercase()
        );
        let help = "remove it: ebbtide decides where its servers listen, log and keep their data";
        assert_eq!(told(&error), (ErrorKind::Config, text, help));
    }
}

#[test]
fn directories_that_are_not_there_are_refused_with_path_source_and_remedy() {
    let package = Package::with_file("[provision]\nseeds = 'nowhere'").file("notes", "");
    let root = package.root.display();
    let error = package
        .plan(&Builder::new().without_migrations(), &[])
        .expect_err("no seeds");
    let text = format!("seeds directory {root}/nowhere does not exist (ebbtide.toml:2)");
    let help = "create it, correct the path, or write seeds = false to go without";
    assert_eq!(told(&error), (ErrorKind::Seed, text, help));
    let error = package
        .plan(&Builder::new(), &[("EBBTIDE_MIGRATIONS", "notes")])
        .expect_err("no directory");
    let text = format!("migrations directory {root}/notes is not a directory (EBBTIDE_MIGRATIONS)");
    let help = "create it, correct the path, or set EBBTIDE_MIGRATIONS=none to go without";
    assert_eq!(told(&error), (ErrorKind::MigrationSource, text, help));
    let error = package
        .plan(&Builder::new().migrations("db"), &[])
        .expect_err("no directory");
    let text = format!("migrations directory {root}/db does not exist (builder)");
    let help = "create it, correct the path, or call without_migrations() to go without";
    assert_eq!(told(&error), (ErrorKind::MigrationSource, text, help));
}
