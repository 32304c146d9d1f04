//! Packages that depend on sqlx and tokio, without ebbtide and with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::scratch::Scratch;
use crate::table::Table;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// As in the packages that use ebbtide's attribute.
const BASE: &str = r#"
[dependencies.sqlx]
version = "0.9"
default-features = false
features = ["macros", "migrate", "postgres", "runtime-tokio"]

[dependencies.tokio]
version = "1.48"
features = ["rt-multi-thread", "macros"]
"#;
/// Each side, and the dependency that it adds. The first one is the reference.
const SIDES: [(&str, Option<&str>); 3] = [
    ("sqlx and tokio", None),
    ("with ebbtide, no default features", Some("false")),
    ("with ebbtide, default features", Some("true")),
];

/// Prints the number of crates of each package.
#[expect(clippy::print_stdout, reason = "the program prints its results")]
pub(super) fn crates(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let mut reference = None;
    for (side, features) in SIDES {
        let dir = package(scratch, name, side, features)?;
        let mut command = cargo(&dir);
        command.args(["tree", "--prefix", "none", "--edges", "normal,build"]);
        let text = output(&mut command)?;
        // A crate that the tree has already shown is marked with `(*)`.
        let crates: BTreeSet<&str> = text.lines().map(|l| l.trim_end_matches(" (*)")).collect();
        // The package itself is not a dependency.
        let count = crates.len() - 1;
        let added = count.saturating_sub(*reference.get_or_insert(count));
        println!("{name:<22} {count:>7} crates, {added:>4} added  {side}");
    }
    Ok(())
}

/// Builds each package once, without optimisation and with all crates downloaded.
pub(super) fn time(name: &'static str, scratch: &Scratch) -> Result<(), Error> {
    let mut table = Table::new(SIDES[0].0);
    let mut reference: Option<Duration> = None;
    for (side, features) in SIDES {
        let dir = package(scratch, name, side, features)?;
        output(cargo(&dir).arg("fetch"))?;
        let mut command = cargo(&dir);
        command.args(["build", "--quiet"]);
        command.env("CARGO_TARGET_DIR", dir.join("target"));
        let began = Instant::now();
        output(&mut command)?;
        let took = began.elapsed();
        table.add(side, took, *reference.get_or_insert(took));
    }
    table.print(name);
    Ok(())
}

/// Writes a package without code of its own.
fn package(
    scratch: &Scratch,
    name: &str,
    side: &str,
    default_features: Option<&str>,
) -> Result<PathBuf, Error> {
    let dir = scratch.dir(&format!("{name}-{}", side.replace([' ', ','], "-")))?;
    std::fs::create_dir(dir.join("src"))?;
    std::fs::write(dir.join("src/lib.rs"), "")?;
    let root = std::fs::canonicalize(ROOT)?;
    let ebbtide = default_features.map_or_else(String::new, |value| {
        let root = root.display();
        format!("\n[dependencies.ebbtide]\npath = \"{root}\"\ndefault-features = {value}\n")
    });
    let manifest = format!(
        "[package]\nname = \"footprint\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [workspace]\n{BASE}{ebbtide}"
    );
    std::fs::write(dir.join("Cargo.toml"), manifest)?;
    // The same versions as in ebbtide's own builds.
    std::fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock"))?;
    Ok(dir)
}

fn cargo(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(dir).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("cargo: {}\n{stderr}", output.status).into())
}
