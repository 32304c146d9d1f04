//! How a plan prints.

use super::super::{Backend, Builder, Container, Expect, External, MigrationCommand, Role};
use super::Package;

#[test]
fn a_plan_prints_as_an_aligned_table_without_passwords() {
    let text = "[server]\nurl = 'postgres://me:secret@localhost/app'\n\
                [provision]\nextensions = ['pg_trgm', 'uuid-ossp']";
    let package = Package::with_file(text).dir("migrations");
    let builder = Builder::new()
        .setting("timezone", "Europe/Madrid")
        .role("readers")
        .role(Role::new("app").member_of("readers"))
        .test_role("app")
        .expect(Expect::new().table("a").rows("a", 1));
    let variables = [
        ("EBBTIDE_LINGER", "90s"),
        ("EBBTIDE_ROLE_PASSWORD", "secret"),
        ("CARGO_PKG_NAME", "app"),
    ];
    let plan = package
        .plan(&builder.expect(Expect::new().rows("b", 2)), &variables)
        .expect("legal");
    let printed = plan.to_string();
    let root = package.root().to_str().expect("UTF-8");
    let values: Vec<Vec<String>> = printed
        .replace(root, "ROOT")
        .lines()
        .map(|line| {
            line.split("  ")
                .filter(|cell| !cell.is_empty())
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect();
    let expected = [
        ["backend", "external", "ebbtide.toml:2"],
        ["postgres", "any", "default"],
        ["image", "by version", "default"],
        ["url", "postgres://me:***@localhost/app", "ebbtide.toml:2"],
        ["allow_remote", "false", "default"],
        ["role_password", "***", "EBBTIDE_ROLE_PASSWORD"],
        [
            "linger",
            "90s",
            "EBBTIDE_LINGER (not used by backend external)",
        ],
        ["keep", "never", "default"],
        ["keep_for", "1h", "default"],
        ["log_plans_slower_than", "no", "default"],
        ["storage", "auto", "default"],
        ["cache", "auto", "default"],
        ["dedicated", "auto", "default"],
        ["settings.timezone", "Europe/Madrid", "builder"],
        ["bin", "searched for", "default"],
        ["state_dir", "/tmp/ebbtide-1000", "default"],
        ["start_timeout", "1m", "default"],
        ["extensions", "pg_trgm, uuid-ossp", "ebbtide.toml:4"],
        ["locale", "the server's", "default"],
        ["encoding", "the server's", "default"],
        ["locale_provider", "libc", "default"],
        ["roles", "readers, app", "builder"],
        ["owner", "ebbtide's own role", "default"],
        ["bootstrap", "none", "default"],
        ["migrations", "ROOT/migrations", "default"],
        ["seeds", "none", "default"],
        ["provision_timeout", "2m", "default"],
        ["ignore_missing_tables", "none", "default"],
        ["expect", "1 table, 2 row counts", "builder"],
        ["test_role", "app", "builder"],
        ["package", "app", "CARGO_PKG_NAME"],
        ["package_root", "ROOT", "CARGO_MANIFEST_DIR"],
        ["config_file", "ROOT/ebbtide.toml", "default"],
    ];
    assert_eq!(values, expected);
    assert!(
        !format!(
            "{plan:?}{builder:?}",
            builder = Builder::new().backend(External::new().url("postgres://a:secret@b"))
        )
        .contains("secret")
    );
}

#[test]
fn a_value_that_the_selected_backend_does_not_use_is_marked() {
    let text = "[server]\nurl = 'postgres://f'\nbin = '/f'\nlinger = '4s'";
    let builder = Builder::new().backend(Container::new().image("b"));
    let marked = |backend: &str| -> Vec<String> {
        let variables = [("EBBTIDE_BACKEND", backend), ("EBBTIDE_CACHE", "never")];
        let plan = Package::with_file(text)
            .plan(&builder, &variables)
            .expect("legal");
        plan.to_string()
            .lines()
            .filter(|line| line.contains("not used"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let image = |backend: &str| format!("image b builder (not used by backend {backend})");
    let url =
        |backend: &str| format!("url postgres://f ebbtide.toml:2 (not used by backend {backend})");
    let cache =
        |backend: &str| format!("cache never EBBTIDE_CACHE (not used by backend {backend})");
    let bin = |backend: &str| format!("bin /f ebbtide.toml:3 (not used by backend {backend})");
    assert_eq!(marked("native"), [image("native"), url("native")]);
    assert_eq!(marked("container"), [url("container"), bin("container")]);
    let linger = "linger 4s ebbtide.toml:4 (not used by backend external)".to_owned();
    assert_eq!(
        marked("external"),
        [
            image("external"),
            linger,
            cache("external"),
            bin("external")
        ]
    );
}

#[test]
fn the_columns_of_a_plan_are_aligned() {
    let package = Package::new();
    let plan = package
        .plan(&Builder::new(), &[("EBBTIDE_BACKEND", "native")])
        .expect("legal");
    assert_eq!(*plan.backend, Backend::Native);
    let printed = plan.to_string();
    let column = |word: &str| {
        let line = printed
            .lines()
            .find(|line| line.ends_with(word))
            .expect("a line");
        line.len() - word.len()
    };
    assert_eq!(column("EBBTIDE_BACKEND"), column("default"));
    assert!(
        printed.starts_with("backend                native  "),
        "{printed}"
    );
}

#[test]
fn a_long_value_moves_only_its_own_source() {
    let long = "x".repeat(60);
    let builder = Builder::new().setting("a", &long).setting("b", "one\ntwo");
    let printed = Package::new()
        .plan(&builder, &[])
        .expect("legal")
        .to_string();
    assert!(
        printed.contains(&format!("settings.a             {long}  builder\n")),
        "{printed}"
    );
    assert!(
        printed.contains("settings.b             one\\ntwo  "),
        "{printed}"
    );
}

#[test]
fn a_wide_character_takes_two_columns_of_the_table() {
    let builder = Builder::new().setting("a", "日本").setting("b", "e\u{301}");
    let printed = Package::new()
        .plan(&builder, &[])
        .expect("legal")
        .to_string();
    let blanks = |text: &str| {
        let line = printed.lines().find(|line| line.contains(text));
        let rest = line.and_then(|line| line.split(text).nth(1));
        rest.expect("a line")
            .chars()
            .take_while(|c| *c == ' ')
            .count()
    };
    assert_eq!(blanks("日本") + 4, blanks("e\u{301}") + 1, "{printed}");
}

#[test]
fn a_command_prints_without_the_passwords_among_its_arguments() {
    let arguments = [
        "migrate",
        "-password=hunter2",
        "--Password",
        "hunter2",
        "postgres://bob:hunter2@db/app",
    ];
    let command = MigrationCommand::new(arguments).input("db");
    let package = Package::with_file("").dir("db");
    let plan = package
        .plan(&Builder::new().migrations(command), &[])
        .expect("legal");
    let printed = format!("{plan} {plan:?}");
    assert!(
        printed.contains("-password=*** --Password *** postgres://bob:***@db/app"),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"), "{printed}");
}
