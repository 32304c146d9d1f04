//! Where ebbtide searches for files and directories, and what paths are relative to.

use std::path::Path;

use super::super::project::Project;
use super::super::{Builder, Environment, Migrations, Source};
use super::{ErrorKind, Package, environment, kind_message_help};

const WORKSPACE: &str = "[workspace]\nmembers = ['app']";

/// The configuration file that the package in `dir` uses.
fn config_file(package: &Package, dir: &str) -> Option<String> {
    let root = package.path(dir);
    let plan = Builder::new()
        .resolve(&environment(&root, &[]))
        .expect("legal");
    let found = plan
        .config_file
        .as_ref()?
        .strip_prefix(package.root())
        .expect("below the root");
    Some(found.display().to_string())
}

#[test]
fn the_nearest_file_up_to_the_workspace_root_is_used() {
    let package = Package::with_file("")
        .file("ws/Cargo.toml", WORKSPACE)
        .file("ws/app/Cargo.toml", "[package]\nname = 'app'")
        .dir("lonely/deep");
    assert_eq!(config_file(&package, "ws/app"), None);
    assert_eq!(
        config_file(&package, "lonely/deep").as_deref(),
        Some("ebbtide.toml")
    );
    let package = package.file("ws/ebbtide.toml", "");
    assert_eq!(
        config_file(&package, "ws/app").as_deref(),
        Some("ws/ebbtide.toml")
    );
    let package = package.file("ws/app/ebbtide.toml", "");
    assert_eq!(
        config_file(&package, "ws/app").as_deref(),
        Some("ws/app/ebbtide.toml")
    );
}

#[test]
fn the_search_ends_at_the_root_of_a_git_checkout() {
    let package = Package::with_file("")
        .file("vendor/lib/.git", "gitdir: elsewhere")
        .dir("vendor/lib/src");
    assert_eq!(config_file(&package, "vendor/lib/src"), None);
    assert_eq!(
        config_file(&package, "vendor").as_deref(),
        Some("ebbtide.toml")
    );
}

#[test]
fn ebbtide_config_sets_another_file() {
    let package = Package::with_file("[server]\nimage = 'a'")
        .file("ci/fast.toml", "[server]\nimage = 'b'\nbin = 'pg'");
    let plan = package
        .plan(&Builder::new(), &[("EBBTIDE_CONFIG", "ci/fast.toml")])
        .expect("legal");
    assert_eq!(plan.image.as_deref(), Some("b"));
    assert_eq!(plan.image.source.to_string(), "ci/fast.toml:2");
    assert_eq!(plan.bin.as_deref(), Some(package.path("ci/pg").as_path()));
    assert_eq!(
        plan.config_file.as_deref(),
        Some(package.path("ci/fast.toml").as_path())
    );
    assert_eq!(plan.config_file.source, Source::Variable("EBBTIDE_CONFIG"));
}

#[test]
fn a_missing_or_unreadable_config_file_is_an_error() {
    let package = Package::new().dir("b");
    let error = package
        .plan(&Builder::new(), &[("EBBTIDE_CONFIG", "a.toml")])
        .expect_err("no file");
    let path = package.path("a.toml").display().to_string();
    let text = format!("EBBTIDE_CONFIG must be the path of a file, but there is no file at {path}");
    assert_eq!(
        kind_message_help(&error),
        (
            ErrorKind::Config,
            text,
            "create the file, correct the path, or remove EBBTIDE_CONFIG and `config_file`: \
             ebbtide then uses the nearest ebbtide.toml"
        )
    );
    std::fs::write(package.path("a.toml"), b"\xff").expect("the package can be written");
    let error = package
        .plan(&Builder::new(), &[("EBBTIDE_CONFIG", "a.toml")])
        .expect_err("no text");
    let help = "make it a readable file of UTF-8 text";
    assert_eq!(
        kind_message_help(&error),
        (ErrorKind::Config, format!("{path} cannot be read"), help)
    );
}

#[test]
fn a_file_above_the_package_prints_absolute_and_its_paths_are_relative_to_it() {
    let text = "[server]\nbin = 'pg'\n[provision]\nmigrations = 'db'\nseeds = 'db'";
    let package = Package::with_file(text)
        .dir("app/pg")
        .dir("app/db")
        .dir("db");
    let root = package.path("app");
    let plan = Builder::new()
        .resolve(&environment(&root, &[]))
        .expect("legal");
    assert_eq!(plan.bin.as_deref(), Some(package.path("pg").as_path()));
    assert_eq!(*plan.migrations, Some(Migrations::from(package.path("db"))));
    assert_eq!(plan.seeds.as_deref(), Some(package.path("db").as_path()));
    assert_eq!(
        plan.bin.source,
        Source::File {
            path: package.path("ebbtide.toml"),
            line: 2,
            plan: None,
        }
    );
    let variables = [
        ("EBBTIDE_PG_BIN", "pg"),
        ("EBBTIDE_STATE_DIR", "state"),
        ("EBBTIDE_MIGRATIONS", "db"),
    ];
    let plan = Builder::new()
        .seeds("db")
        .resolve(&environment(&root, &variables))
        .expect("legal");
    assert_eq!(plan.bin.as_deref(), Some(package.path("app/pg").as_path()));
    assert_eq!(*plan.state_dir.get(), package.path("app/state"));
    assert_eq!(
        *plan.migrations,
        Some(Migrations::from(package.path("app/db")))
    );
    assert_eq!(
        plan.seeds.as_deref(),
        Some(package.path("app/db").as_path())
    );
}

#[test]
fn default_directories_are_used_if_they_exist() {
    let package = Package::new();
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    assert_eq!(
        (plan.migrations.as_ref(), plan.seeds.as_ref()),
        (None, None)
    );
    let package = package.dir("migrations").dir("seeds");
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    assert_eq!(
        *plan.migrations,
        Some(Migrations::from(package.path("migrations")))
    );
    assert_eq!(plan.seeds.as_deref(), Some(package.path("seeds").as_path()));
    assert_eq!(plan.seeds.source, Source::Default);
}

#[test]
fn dot_env_is_in_the_package_or_in_the_root_and_nowhere_between() {
    let package = Package::new()
        .file(".env", "")
        .file("a/.env", "")
        .dir("a/b");
    let found = |dir: &str| Project::around(&package.path(dir)).beside_package_or_root(".env");
    assert_eq!(found("a"), Some(package.path("a/.env")));
    assert_eq!(found("a/b"), Some(package.path(".env")));
    // Without a root, only the package's own directory counts.
    assert_eq!(
        Project::around(Path::new("/")).beside_package_or_root("no such file"),
        None
    );
}

#[test]
fn only_ebbtide_variables_are_read_from_dot_env_and_their_errors_name_the_line() {
    let text =
        "PATH=/evil\nCARGO_MANIFEST_DIR=/evil\nNEXTEST_TEST_GLOBAL_SLOT=9\nEBBTIDE_IMAGE=a\n";
    let package = Package::new().file(".env", text);
    let environment = package
        .environment(&[])
        .with_project_dot_env()
        .expect("legal");
    let plan = Builder::new().resolve(&environment).expect("legal");
    assert_eq!(
        (plan.image.as_deref(), &plan.image.source),
        (Some("a"), &Source::DotEnv("EBBTIDE_IMAGE"))
    );
    assert_eq!(
        (
            *plan.slot,
            plan.path.len(),
            plan.package_root.value.as_path()
        ),
        (None, 0, package.root())
    );
    let package = package.file(".env", "A=1\nEBBTIDE_IMAGE='a\n");
    let error = package
        .environment(&[])
        .with_project_dot_env()
        .expect_err("an open quote");
    let text = format!(
        "{}:2: EBBTIDE_IMAGE cannot be parsed",
        package.path(".env").display()
    );
    let help = "write it as EBBTIDE_IMAGE='value', and close every quote above it";
    assert_eq!(kind_message_help(&error), (ErrorKind::Config, text, help));
}

#[test]
fn the_state_dir_is_in_the_session_directory_only_if_that_is_an_absolute_directory() {
    let package = Package::new().dir("run").file("file", "");
    let state_dir = |value: &str| {
        let plan = package
            .plan(&Builder::new(), &[("XDG_RUNTIME_DIR", value)])
            .expect("legal");
        (plan.state_dir.value, plan.state_dir.source)
    };
    let run = package.path("run");
    let session = (run.join("ebbtide"), Source::Variable("XDG_RUNTIME_DIR"));
    assert_eq!(state_dir(run.to_str().expect("UTF-8")), session);
    for unusable in [
        "",
        "run",
        package.path("file").to_str().expect("UTF-8"),
        "/no/such/directory",
    ] {
        assert_eq!(
            state_dir(unusable),
            ("/tmp/ebbtide-1000".into(), Source::Default),
            "{unusable}"
        );
    }
}

#[test]
fn package_slot_and_path_come_from_the_variables_of_cargo_and_nextest() {
    let package = Package::new();
    let variables = [
        ("CARGO_PKG_NAME", "app"),
        ("NEXTEST_TEST_GLOBAL_SLOT", "3"),
        ("PATH", "/a:/b"),
    ];
    let plan = package.plan(&Builder::new(), &variables).expect("legal");
    assert_eq!(
        (plan.package_name.as_deref(), *plan.slot),
        (Some("app"), Some(3))
    );
    assert_eq!(plan.path.to_str(), Some("/a:/b"));
    assert_eq!(plan.package_root.value, package.root());
    let plan = package
        .plan(&Builder::new(), &[("NEXTEST_TEST_GLOBAL_SLOT", "none")])
        .expect("legal");
    assert_eq!(
        (plan.package_name.as_deref(), *plan.slot, plan.path.len()),
        (None, None, 0)
    );
    let bare = Environment::new([("X", "y")], package.root(), "/tmp", 0);
    let plan = Builder::new().resolve(&bare).expect("legal");
    assert_eq!(
        (plan.package_root.value.as_path(), &plan.package_root.source),
        (package.root(), &Source::Default)
    );
}

#[test]
fn capture_reads_the_environment_of_this_process() {
    let environment = Environment::capture(7, None).expect("this process has an environment");
    assert!(environment.package_root().join("Cargo.toml").is_file());
}

#[test]
fn the_debug_text_of_an_environment_has_no_values() {
    let environment = Package::new().environment(&[("EBBTIDE_URL", "postgres://me:secret@db")]);
    let environment = environment
        .with_dot_env(Path::new(".env"), "EBBTIDE_IMAGE=secret")
        .expect("legal");
    let debugged = format!("{environment:?}");
    assert!(
        debugged.contains("EBBTIDE_URL") && debugged.contains("EBBTIDE_IMAGE"),
        "{debugged}"
    );
    assert!(!debugged.contains("secret"), "{debugged}");
}

#[test]
fn the_warning_of_an_unknown_variable_proposes_the_closest_known_one() {
    let package = Package::new();
    let variables = [
        ("EBBTIDE_BAKEND", "x"),
        ("EBBTIDE_NONSENSE", "x"),
        ("EBBTIDE_CONFIG", "x"),
        ("EBBTIDE_SEEDS", "x"),
    ];
    let environment = package.environment(&variables);
    let environment = environment
        .with_dot_env(
            Path::new(".env"),
            "EBBTIDE_BAKEND=y\nEBBTIDE_IMAGES=y\nEBBTIDE_URL=y",
        )
        .expect("legal");
    let expected = [
        "unknown variable EBBTIDE_BAKEND: did you mean EBBTIDE_BACKEND?",
        "unknown variable EBBTIDE_IMAGES: did you mean EBBTIDE_IMAGE?",
        "unknown variable EBBTIDE_NONSENSE: ebbtide does not read it",
    ];
    assert_eq!(super::super::variables::unknown(&environment), expected);
}

#[test]
fn the_default_migrations_are_those_of_sqlx_toml() {
    let package = Package::with_file("")
        .file(
            "sqlx.toml",
            "[common]\n[migrate]\nmigrations-dir = 'db/steps'",
        )
        .dir("db/steps")
        .dir("migrations")
        .dir("other");
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    let expected = Migrations::sqlx(package.path("db/steps"));
    assert_eq!(*plan.migrations, Some(expected));
    let source = Source::File {
        path: "sqlx.toml".into(),
        line: 3,
        plan: None,
    };
    assert_eq!(plan.migrations.source, source);
    for builder in [
        Builder::new().migrations("other"),
        Builder::new().without_migrations(),
    ] {
        let plan = package.plan(&builder, &[]).expect("legal");
        assert_eq!(plan.migrations.source, Source::Builder);
    }

    let package = package.file("sqlx.toml", "[migrate]\nmigrations-dir = 'absent'");
    let error = package
        .plan(&Builder::new(), &[])
        .expect_err("no such directory");
    let (kind, message, _) = kind_message_help(&error);
    assert_eq!(kind, ErrorKind::MigrationSource);
    assert!(
        message.ends_with("absent does not (sqlx.toml:2)"),
        "{message}"
    );
    let package = package.file("sqlx.toml", "[migrate]\nmigrations_dir = 'db/steps'");
    let error = package
        .plan(&Builder::new(), &[])
        .expect_err("an unknown key");
    assert_eq!(error.kind(), ErrorKind::Config);
    let package = package.file("sqlx.toml", "[migrate]\ntable-name = 'applied'");
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    assert_eq!(plan.migrations.source, Source::Default);
}
