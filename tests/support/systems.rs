//! The five example systems, as input of tests.

use std::path::Path;

use ebbtide::Harness;
use ebbtide::config::Builder;

/// The five systems, each with the directory of its migrations.
pub const SYSTEMS: [(&str, &str); 5] = [
    ("salon", "migrations"),
    ("archivist", "examples/archivist/migrations"),
    ("drift", "examples/drift/migrations"),
    ("tickets", "examples/tickets/migrations"),
    ("techstore", "examples/techstore/migrations"),
];

/// A builder with the plan of a system, in which a superuser does everything.
///
/// Tests compare such a database with one that another tool has made as a superuser. The roles have
/// no privileges, because the other tool grants none.
pub fn system(name: &str, migrations: &str) -> Builder {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Harness::builder()
        .config_file(root.join("examples").join(name).join("ebbtide.toml"))
        .migrations(root.join(migrations))
        .seeds(root.join(migrations).with_file_name("seeds"))
        .role("archive_app")
        .role("tickets_app")
        .owner("postgres")
        .test_role("postgres")
}
