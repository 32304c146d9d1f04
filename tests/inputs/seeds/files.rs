//! The files of a directory of seeds: none with data is left out silently.

use super::{seeded, tx};
use crate::support::reports::{assert_report_contains, provision_error};
use crate::support::sql::number;
use ebbtide::ErrorKind;

const TABLE: &str = "create table t (a int);\n";

#[tokio::test]
async fn a_seed_in_a_format_that_is_not_loaded_is_refused_with_the_remedy() {
    for (file, remedy) in [
        ("010_t.csv.gz", "unpack it"),
        ("010_t.sql.gz", "unpack it"),
        ("t.yaml", "convert it to JSON"),
        ("t.YML", "convert it to JSON"),
        ("t.xlsx", "as CSV"),
        ("t.dump", "pg_restore"),
        ("t.tab", "rename it to .tsv"),
        ("t.pgsql", "rename it to .sql"),
        ("inner/010_t.csv", "move the file up"),
        ("a/b/t.yaml", "move the file up"),
    ] {
        let scratch = seeded(TABLE, &[(file, ""), ("010_t.csv", "a\n1\n")]);
        let error = provision_error(scratch.builder()).await;
        let has = format!("has {file}");
        assert_report_contains(&error, ErrorKind::Seed, &[&has, remedy]);
    }
}

#[tokio::test]
async fn files_without_data_are_no_seeds() {
    let files = [
        ("010_t.csv", "a\n1\n"),
        ("020_t.SQL", "insert into t values (2)"),
        ("README.md", "# Seeds"),
        ("make.sh", "exit 1"),
        (".t.csv.swp", "x"),
        (".hidden/t.csv", "x"),
        ("notes/README", "x"),
        ("t.csv~", "a\n1\n"),
    ];
    let mut tx = tx(&seeded(TABLE, &files)).await;
    assert_eq!(number(&mut tx, "select sum(a) from t").await, 3);
}

#[tokio::test]
async fn a_broken_link_among_the_seeds_is_reported() {
    let scratch = seeded(TABLE, &[("010_t.csv", "a\n1\n")]);
    std::os::unix::fs::symlink("nowhere.csv", scratch.path("seeds/020_t.csv")).unwrap();
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(&error, ErrorKind::Seed, &["020_t.csv cannot be read"]);
}
