//! CSV and TSV, after the manual of the newest version of PostgreSQL.

use super::{seeded, tx};
use crate::support::reports::{assert_report_contains, provision_error};
use crate::support::sql::{number, text};
use ebbtide::ErrorKind;

const NOTES: &str = "create table notes (id int primary key, note text);
    create table copied (id int primary key, note text);
    create table lines (line text);\n";

/// Peculiar rows, as COPY of version 18 reads them.
const ROWS: &str = "id,note\n1,\\.\n2,\"two\nlines\n\\.\n\"\n3,\n4,\"\"\n5,\"say \"\"hi\"\"\"\n\
                    6, blank \n7,\\N\n8,a\\b\n9,last";

#[tokio::test]
async fn a_csv_seed_loads_what_copy_loads() {
    let scratch = seeded(NOTES, &[("010_notes.csv", ROWS)]);
    let mut tx = tx(&scratch).await;
    let mut copy = tx
        .copy_in_raw("copy copied from stdin with (format csv, header true)")
        .await
        .unwrap();
    // The server reads the same rows, except for the line that differs between the versions.
    copy.send(ROWS.as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    let different = "select count(*) from notes full join copied using (id) \
                     where notes is distinct from copied";
    assert_eq!(number(&mut tx, "select count(*) from copied").await, 9);
    assert_eq!(number(&mut tx, different).await, 0);
}

#[tokio::test]
async fn a_line_with_the_old_end_mark_is_a_row_of_every_server_version() {
    let rows = "line\none\n\\.\n\"\\.\"\nfour\n";
    let scratch = seeded(NOTES, &[("010_lines.csv", rows)]);
    let mut tx = tx(&scratch).await;
    let lines = "select string_agg(line, '|') from lines";
    assert_eq!(text(&mut tx, lines).await, "one|\\.|\\.|four");
}

#[tokio::test]
async fn line_endings_a_byte_order_mark_and_a_missing_last_line_feed_change_no_row() {
    for (file, csv) in [
        ("010_notes.csv", "id,note\r\n1,a\r\n2,b\r\n"),
        ("010_notes.csv", "\u{feff}id,note\n1,a\n2,b"),
        ("010_notes.csv", "\u{feff}\"id\",\"note\"\n1,a\n2,b"),
        ("010_notes.CSV", "note,id\na,1\nb,2\n"),
        ("010_notes.tsv", "id\tnote\n1\ta\n2\t\"b\"\n"),
        ("010_notes.TSV", "id\tnote\r\n1\ta\r\n2\tb"),
    ] {
        let mut tx = tx(&seeded(NOTES, &[(file, csv)])).await;
        let rows = "select string_agg(id || note, ',' order by id) from notes";
        assert_eq!(text(&mut tx, rows).await, "1a,2b", "{file}: {csv:?}");
    }
}

#[tokio::test]
async fn the_staging_table_is_found_with_any_search_path() {
    let path = "do $$ begin execute format('alter database %I set search_path = public, pg_temp', \
                current_database()); end $$;";
    let migration = format!("{NOTES}{path} create table ebbtide_stage (id int);\n");
    let mut tx = tx(&seeded(&migration, &[("notes.csv", "id,note\n1,é\n")])).await;
    assert_eq!(text(&mut tx, "select note from notes").await, "é");
}

#[tokio::test]
async fn a_table_that_permits_no_on_conflict_is_seeded_and_reports_the_conflict() {
    let migration = "create table items (id int primary key deferrable, name text);
        create table log (id int);
        create rule items_log as on insert to log do also notify seeded;\n";
    let seeds = [
        ("1_items.csv", "id,name\n1,a\n"),
        ("2_log.json", "[{\"id\": 1}]"),
    ];
    let mut found = tx(&seeded(migration, &seeds)).await;
    let rows = "select (select count(*) from items) + (select count(*) from log)";
    assert_eq!(number(&mut found, rows).await, 2);
    let twice = seeded(migration, &[("1_items.csv", "id,name\n1,a\n1,b\n")]);
    let error = provision_error(twice.builder()).await;
    assert_report_contains(&error, ErrorKind::Seed, &["Key (id)=(1) already exists"]);
}

async fn error_of(file: &str, bytes: &[u8]) -> ebbtide::Error {
    let scratch = seeded(NOTES, &[(file, "")]);
    std::fs::write(scratch.path("seeds").join(file), bytes).unwrap();
    provision_error(scratch.builder()).await
}

#[tokio::test]
async fn an_invisible_character_is_reported_with_line_and_column() {
    for (file, bytes, report) in [
        (
            "notes.csv",
            b"id,note\n1,a\0b\n".as_slice(),
            "notes.csv:2:4 has a zero byte",
        ),
        (
            "notes.csv",
            b"id,note\n1,\xc3\xa9\xed\n",
            "notes.csv:2:4 is not UTF-8",
        ),
        (
            "notes.csv",
            b"\xff\xfei\0d\0",
            "notes.csv:1:1 is UTF-16, and not UTF-8",
        ),
        (
            "notes.csv",
            b"id,note\n1,a\n\xef\xbb\xbf2,b\n",
            "notes.csv:3:1 has an invisible character, U+FEFF (byte order mark)",
        ),
        (
            "notes.csv",
            b"id,note\n1\xc2\xa0000,a\n",
            "help: the value has an invisible character, U+00A0 (no-break space): remove it",
        ),
        (
            "notes.csv",
            b"id,no\xe2\x80\x8bte\n1,a\n",
            "help: the header has an invisible character, U+200B (zero width space): remove it",
        ),
        (
            "notes.tsv",
            b"id\tnote\n1\t\\N\n",
            "notes.tsv:2:3 has the value \\N, which means null in COPY's text format only",
        ),
        (
            "notes.csv",
            b"id;note\n1;a\n",
            "separate the columns by commas, and not by ';'",
        ),
        (
            "notes.csv",
            b"id,note\n1,a\n\n2,b\n",
            "remove the empty line",
        ),
        (
            "notes.csv",
            b"\nid,note\n1,a\n",
            "a CSV file must begin with a header",
        ),
        (
            "notes.csv",
            b"id,id\n1,a\n",
            "failed in line 1, for table notes",
        ),
    ] {
        let error = error_of(file, bytes).await;
        assert_report_contains(&error, ErrorKind::Seed, &[report]);
    }
}

#[tokio::test]
async fn a_generated_column_of_a_csv_seed_is_reported_with_the_remedy() {
    let migration = "create table t (a int, b int generated always as (a * 2) stored);\n";
    let error = provision_error(seeded(migration, &[("t.csv", "a,b\n1,2\n")]).builder()).await;
    assert_report_contains(&error, ErrorKind::Seed, &["leave out the generated column"]);
}

#[tokio::test]
async fn a_fixture_may_be_csv() {
    let scratch = seeded(NOTES, &[]);
    let setup = ebbtide::Setup::new().fixture("notes.csv", "id,note\n1,a\n");
    let harness = scratch.builder().build().unwrap().with_setup(setup);
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(number(&mut tx, "select count(*) from notes").await, 1);
}
