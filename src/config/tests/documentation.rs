//! The table of keys in the crate's documentation follows from the keys.

use std::path::Path;

use super::super::key::{self, Key};
use super::super::keys::KEYS;

const BEGIN: &str = "//! <!-- keys -->\n";
const END: &str = "//! <!-- /keys -->\n";
const ALL_BACKENDS: &str = "all";
/// If this variable is `1`, the test writes the file.
const BLESS_VARIABLE: &str = "EBBTIDE_BLESS";

/// The table as comment lines.
fn table() -> String {
    let code = |name: &str| match name {
        "" => String::new(),
        _ => format!("`{name}` "),
    };
    let row = |path: &str, variable: &str, backends: &str, about: &str, default: &str| {
        let (path, variable) = (code(path), code(variable));
        format!("//! | {path}| {variable}| {backends} | {about} | {default} |\n")
    };
    let head = "//! | `ebbtide.toml` | variable | backends | meaning and legal values | default |\n\
                //! |---|---|---|---|---|\n";
    let keys = KEYS.with_defaults();
    let rows = keys
        .iter()
        .map(|(key, default)| row(key.path, key.variable, &backends(key), key.about, default));
    let of_file = row(
        "",
        key::CONFIG,
        ALL_BACKENDS,
        "the path of the file itself",
        "the nearest",
    );
    head.to_owned() + &rows.collect::<String>() + &of_file
}

/// The backends that use the key.
fn backends(key: &Key) -> String {
    let names = key.backends.iter().map(|backend| format!("`{backend}`"));
    match names.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => ALL_BACKENDS.to_owned(),
        names => names,
    }
}

#[test]
fn the_table_in_the_documentation_matches_the_keys() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let page = std::fs::read_to_string(&file).expect("the crate's first file");
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the table");
    let (written, after) = rest.split_once(END).expect("the end of the table");
    let table = table();
    if std::env::var(BLESS_VARIABLE).is_ok_and(|value| value == "1") {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}"))
            .expect("the repository can be written");
        return;
    }
    assert_eq!(
        written, table,
        "src/lib.rs has another table of keys; run this test with {BLESS_VARIABLE}=1 to write it"
    );
}

#[test]
fn every_key_has_a_meaning_and_legal_values_and_a_name_of_its_own() {
    let mut names = Vec::new();
    for key in KEYS.all() {
        assert!(!key.about.is_empty() && !key.legal.is_empty(), "{key:?}");
        assert!(
            ["server", "provision", "test"].contains(&key.section()),
            "{key:?} is in no section"
        );
        if !key.variable.is_empty() {
            assert!(key.variable.starts_with("EBBTIDE_"), "{key:?}");
            names.push(key.variable);
        }
        names.push(key.path);
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two keys have the same path or variable");
}
