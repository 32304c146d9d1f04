//! The commands of psql.

use super::{ROLES, Role, assert_each_as_psql, harness, needs_psql};
use crate::support::Scratch;
use crate::support::reports::assert_report_contains;

const TABLE: &str = "create table t (id int, at int[]);\n";

#[tokio::test]
async fn commands_without_effect_on_the_database_are_skipped() {
    needs_psql!();
    let commands = [
        "\\restrict Ab1\ninsert into t values (1);\n\\unrestrict Ab1\n\\echo a; b\n",
        "\\set ON_ERROR_STOP on\n\\timing on\n\\pset pager off\n\\encoding UTF8\n\\x \\a \\t\n",
        "\\echo 'a\\\\b' \\\\ insert into t values (1);\n\\o /dev/null\n\\dt\n\\d t\n\\conninfo\n",
        "insert into t values (1) \\g\ninsert into t values (2) \\gx\n insert into t values (3)\n",
        "insert into t values (1);\n\\q\nthis is no SQL;\n",
        "insert into t values (1) \\; insert into t values (2);\n",
        "\\set x 1\nupdate t set at[1:2] = at[1:2], id = 1::int;\n\\unset x\n",
    ];
    assert_each_as_psql(TABLE, &commands).await;
}

#[tokio::test]
async fn a_skipped_command_is_noted_once_with_its_line() {
    for role in [Role::Seed, Role::Plain] {
        let scratch = Scratch::new();
        let text = format!("{TABLE}\\echo a\n\\echo b\nlisten x;\n\\timing\n");
        let harness = harness(&scratch, role, &[&text]);
        let report = harness.provision().await.unwrap().provisioned;
        let notes: Vec<_> = report
            .notes
            .iter()
            .map(|note| note.rsplit('/').next())
            .collect();
        let expected = [
            "000.sql:2: skipped \\echo, which changes no database",
            "000.sql:4: skipped LISTEN, which changes no database",
            "000.sql:5: skipped \\timing, which changes no database",
        ];
        assert_eq!(notes, expected.map(Some));
    }
}

#[tokio::test]
async fn a_command_that_cannot_run_is_named_with_its_line_and_a_remedy() {
    for (command, name, remedy) in [
        ("\\connect shop", "\\connect cannot run", "without --create"),
        (
            "\\i other.sql",
            "\\i cannot run",
            "put the content of that file here",
        ),
        (
            "\\ir other.sql",
            "\\ir cannot run",
            "put the content of that file here",
        ),
        (
            "\\copy t from 'x.csv'",
            "\\copy cannot run",
            "COPY .. FROM stdin",
        ),
        (
            "select 'select 1' \\gexec",
            "\\gexec cannot run",
            "DO block",
        ),
        (
            "select 1 as x \\gset",
            "\\gset cannot run",
            "write the value",
        ),
        (
            "\\if true\nselect 1;\n\\endif",
            "\\if cannot run",
            "DO block",
        ),
        (
            "\\set own 1\nselect :own;",
            "psql would replace :own",
            "write the value",
        ),
        (
            "select :'DBNAME';",
            "psql would replace :'DBNAME",
            "write the value",
        ),
        (
            "\\set own int4\nselect 1:::own;",
            "psql would replace :own",
            "write the value",
        ),
        (
            "select :name;",
            "syntax error",
            "variable name of psql has no value",
        ),
        ("\\! rm x", "\\! cannot run", "remove it"),
        (
            "\\set AUTOCOMMIT off",
            "\\set cannot run",
            "remove the line",
        ),
        ("\\encoding LATIN1", "\\encoding cannot run", "UTF-8"),
        ("\\.", "\\. cannot run", "COPY statement"),
        ("\\nonsense", "\\nonsense cannot run", "remove it"),
        (
            "select 1 \\echo a\n;",
            "\\echo stands within a statement",
            "semicolon",
        ),
        ("\\g", "\\g would run", "twice"),
        (
            "\\restrict a\n\\echo b",
            "\\echo stands after \\restrict",
            "before \\restrict",
        ),
        (
            "\\restrict a\n\\unrestrict b",
            "\\unrestrict must have the key",
            "same key",
        ),
        (
            "\\unrestrict b",
            "\\unrestrict must have the key",
            "same key",
        ),
    ] {
        for role in ROLES {
            let scratch = Scratch::new();
            let text = format!("{TABLE}{command}\n");
            let error = harness(&scratch, role, &[&text]).tx().await.unwrap_err();
            let line = text.lines().position(|line| {
                let start = name.split(' ').find(|word| word.starts_with(['\\', ':']));
                start.is_some_and(|start| line.contains(start) && !line.contains("\\set own"))
            });
            let line = line.map_or(2, |line| line + 1);
            let place = format!("0.sql:{line}:");
            assert_report_contains(&error, super::error_kind(role), &[name, remedy, &place]);
        }
    }
}
