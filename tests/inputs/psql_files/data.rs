//! `COPY .. FROM stdin` with its data in the file.

use super::{ROLES, assert_as_psql, assert_each_as_psql, harness, needs_psql};
use crate::support::Scratch;

const TABLE: &str = "create table t (id int, \"from\" text, note text default 'none');\n";

#[tokio::test]
async fn data_in_every_format_are_loaded_as_by_psql() {
    needs_psql!();
    let copies = [
        "COPY t (id, \"from\", note) FROM stdin;\n1\ta;b\\tc\\\\\tit's\n2\t\\N\t\\x41\\101\n\\.\n",
        "copy t from stdin;\n\\.\n",
        "copy t (id) from stdin;\n1\n2\n\\.\ncopy t (id) from stdin;\n3\n\\.\nselect 1;",
        "copy t from stdin with (format csv, header, quote '\"');\nid,from,note\n1,\"a;\nb\",\"\"\"\"\n\\.\n",
        "copy t from stdin csv delimiter ';' null 'nil';\n1;nil;x\n\\.\n",
        "copy t (id, note) from stdin (delimiter '|') where id > 1;\n1|a\n2|b\n\\.\n",
        "copy t (id) from stdin; insert into t values (7); copy t (id) from stdin;\n1\n\\.\n2\n\\.\n",
        "copy t (id) from stdin; -- 'a; b\n1\n\\.\ninsert into t values (2);",
        "begin; copy t (id) from stdin;\n1\n\\.\ncommit; copy t (id) from stdin;\n2\n\\.\n",
        "copy t (id) from stdin;\n1\n2",
        "copy t (id) from stdin;",
        "copy t (id, note) from stdin;\r\n1\ta\r\n2\tb\r\n\\.\r\ninsert into t values (3);\r\n",
        "copy t (id)\nfrom stdin \\g\n1\n\\.\n",
        "copy t (id) from stdout;\n1\n\\.\n",
        "set client_encoding = 'LATIN1';\ncopy t (id, note) from stdin;\n1\t\u{e9}\n\\.\n",
    ];
    assert_each_as_psql(TABLE, &copies).await;
}

#[tokio::test]
async fn what_a_copy_returns_is_dropped() {
    needs_psql!();
    let text = "copy (select generate_series(1, 1000)) to stdout;\ncopy t to stdout;\nlisten x;\n\
                notify x, 'y';\nunlisten *;\ninsert into t values (1);\n";
    assert_as_psql(&[&format!("{TABLE}{text}")]).await;
}

#[tokio::test]
async fn the_rows_of_a_copy_are_in_the_report() {
    let text = format!(
        "{TABLE}copy t (id) from stdin;\n1\n2\n\\.\ninsert into t values (3);\n\
         create unique index on t (id);\ninsert into t values (3), (4) on conflict do nothing;\n"
    );
    for own in ["", "begin;\ncommit;\n", "-- no-transaction\n"] {
        let scratch = Scratch::new();
        let harness = harness(&scratch, super::Role::Seed, &[&format!("{own}{text}")]);
        let report = harness.provision().await.unwrap().provisioned;
        let seeds: Vec<String> = report.seeds.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["seeded 4 t, skipped 1"], "{own}");
    }
}

#[tokio::test]
async fn refused_data_are_reported_with_their_line_in_the_file() {
    for role in ROLES {
        let scratch = Scratch::new();
        let text = format!("\u{feff}{TABLE}copy t (id) from stdin;\n1\ntwo\n\\.\n");
        let error = harness(&scratch, role, &[&text]).tx().await.unwrap_err();
        let report = format!("{error:?}");
        for part in [
            "0.sql:4:1: invalid input syntax",
            " 4 | two",
            "COPY t, line 2",
        ] {
            assert!(report.contains(part), "{role:?}, {part}: {report}");
        }
        assert_eq!(error.kind(), super::error_kind(role));
    }
}
