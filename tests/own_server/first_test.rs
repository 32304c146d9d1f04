//! Runs the README's first test, exactly as printed, in a new project.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::Scratch;

const SECTION: &str = "## A first test in ten lines\n";

/// The paths and texts of the section's files: each code block follows a line such as
/// "In `Cargo.toml`:".
fn files(readme: &str) -> Vec<(&str, &str)> {
    let (_, section) = readme.split_once(SECTION).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let parts = section.split("\n```").collect::<Vec<_>>();
    parts
        .chunks_exact(2)
        .map(|pair| {
            let path = pair[0]
                .trim_end()
                .rsplit_once("In `")
                .unwrap()
                .1
                .strip_suffix("`:")
                .unwrap();
            let (_, text) = pair[1].split_once('\n').unwrap();
            (path, text)
        })
        .collect()
}

/// Runs the project's tests as a user would, but without a network and with the dependency versions
/// of this repository.
fn cargo_test(project: &Path) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap());
    for (name, _) in std::env::vars_os() {
        // Variables that Cargo and test runners set for this test do not apply to the project's
        // test. Variables for migrations and seeds would replace the project's own.
        let name = name.to_string_lossy();
        let of_contents = [
            "EBBTIDE_CONFIG",
            "EBBTIDE_MIGRATIONS",
            "EBBTIDE_SEEDS",
            "EBBTIDE_EXTENSIONS",
        ];
        let of_runner = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "NEXTEST"];
        if of_contents.contains(&&*name) || of_runner.iter().any(|prefix| name.starts_with(prefix))
        {
            cargo.env_remove(&*name);
        }
    }
    cargo
        .args(["test", "--offline", "--target-dir"])
        .arg(target)
        .current_dir(project)
        .output()
        .unwrap()
}

#[test]
fn the_first_test_of_the_readme_passes_as_printed() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(repository.join("README.md")).unwrap();
    let files = files(&readme);
    assert_eq!(
        files.iter().map(|(path, _)| *path).collect::<Vec<_>>(),
        [
            "Cargo.toml",
            "migrations/1_customers.sql",
            "tests/customers.rs"
        ]
    );

    let scratch = Scratch::new();
    scratch.write("project/src/lib.rs", "");
    for (path, text) in &files {
        scratch.write(&format!("project/{path}"), text);
    }
    // The section is a part of a manifest. `cargo new` writes the rest, and the patch names this
    // crate.
    let manifest = format!(
        "[package]\nname = \"first-test\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{}\n\n\
         [patch.crates-io]\nebbtide = {{ path = {:?} }}\n",
        files[0].1, repository
    );
    scratch.write("project/Cargo.toml", &manifest);
    std::fs::copy(
        repository.join("Cargo.lock"),
        scratch.path("project/Cargo.lock"),
    )
    .unwrap();

    let output = cargo_test(&scratch.path("project"));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        stdout.contains("test a_customer_starts_with_nothing ... ok"),
        "{stdout}"
    );

    // A user who has not copied the migration gets the reason with the failed test.
    let migrations = scratch.path("project/migrations");
    std::fs::remove_dir_all(&migrations).unwrap();
    let output = cargo_test(&scratch.path("project"));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{stdout}");
    let help = format!(
        "no migrations have run, because {} does not exist: create it, or name another source as `migrations` in \
         ebbtide.toml",
        migrations.display()
    );
    assert!(stdout.contains(&help), "{help:?} is missing in: {stdout}");
}
