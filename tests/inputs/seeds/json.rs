//! JSON seeds: the server parses every value as it stands in the file.

use std::fmt::Write as _;

use super::{seeded, tx};
use crate::support::reports::{assert_report_contains, provision_error};
use crate::support::sql::{number, run, text};
use ebbtide::ErrorKind;

/// Each type, a value in JSON, and the same value as SQL.
const VALUES: &[(&str, &str, &str)] = &[
    ("numeric", "90071992547409.93", "90071992547409.93"),
    ("numeric", "0.10", "0.10"),
    ("numeric", "1e400", "1e400"),
    (
        "numeric",
        "123456789012345678901234567890",
        "123456789012345678901234567890",
    ),
    ("numeric(6,2)", "1.255", "1.255::numeric(6,2)"),
    ("int8", "9223372036854775807", "9223372036854775807"),
    ("float8", "-0.0", "'-0'::float8"),
    ("float8", "1E-300", "1e-300::float8"),
    ("float4", "\"NaN\"", "'NaN'::float4"),
    ("text", "90071992547409.930", "'90071992547409.930'"),
    (
        "text",
        "{\"b\":1.50, \"a\": [1e2]}",
        "'{\"b\":1.50, \"a\": [1e2]}'",
    ),
    (
        "text",
        "\"\\u00e9\\ud83d\\ude00\\n\\\"\"",
        "E'é\\U0001F600\\n\"'",
    ),
    ("text", "\"\"", "''"),
    ("text", "null", "null"),
    (
        "json",
        "{\"b\": 90071992547409.930, \"b\": 1e5}",
        "'{\"b\": 90071992547409.930, \"b\": 1e5}'",
    ),
    (
        "jsonb",
        "{\"n\": 90071992547409.93}",
        "'{\"n\": 90071992547409.93}'",
    ),
    ("jsonb", "1e3", "'1e3'"),
    ("bool", "true", "true"),
    ("bool", "\"no\"", "false"),
    ("bytea", "\"\\\\x00ff\"", "'\\x00ff'"),
    ("bit(3)", "\"101\"", "b'101'"),
    (
        "timestamptz",
        "\"2026-01-02T03:04:05.678901+02:00\"",
        "'2026-01-02 01:04:05.678901+00'",
    ),
    ("date", "\"infinity\"", "'infinity'"),
    ("interval", "\"1 mon 2 days\"", "'1 mon 2 days'"),
    ("int4range", "\"[1,5)\"", "'[1,5)'"),
    (
        "uuid",
        "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    ),
    ("int[]", "[[1,2],[3,null]]", "'{{1,2},{3,null}}'"),
    ("int[]", "\"{4,5}\"", "'{4,5}'"),
    ("numeric[]", "[90071992547409.93]", "'{90071992547409.93}'"),
    ("text[]", "[]", "'{}'"),
    (
        "jsonb[]",
        "[{\"a\": 1.10}, 2]",
        "array['{\"a\": 1.10}', '2']::jsonb[]",
    ),
    ("mood", "\"calm\"", "'calm'"),
    (
        "money_amount",
        "{\"amount\": 90071992547409.93, \"currency\": \"EUR\"}",
        "row(90071992547409.93, 'EUR')",
    ),
    ("positive", "7", "7"),
    ("varchar(3)", "\"abc\"", "'abc'"),
    ("char(3)", "\"a\"", "'a'"),
    ("\"char\"", "\"x\"", "'x'"),
];

const TYPES: &str = "create type mood as enum ('calm');
    create type money_amount as (amount numeric, currency text);
    create domain positive as int not null check (value > 0);\n";

#[tokio::test]
async fn every_value_of_a_json_seed_equals_the_one_that_sql_inserts() {
    let (mut schema, mut keys, mut checks) = (TYPES.to_owned(), Vec::new(), Vec::new());
    for (number, (kind, json, sql)) in VALUES.iter().enumerate() {
        let columns = format!("by_json {kind}, by_sql {kind} default {sql}");
        writeln!(schema, "create table t{number} ({columns});").unwrap();
        keys.push(format!("\"t{number}\": [{{\"by_json\": {json}}}]"));
        // The text form shows more than equality: 0.10 and 0.1 are equal numbers.
        checks.push(format!(
            "select format('{number}: %L and %L', by_json, by_sql) from t{number} \
             where by_json::text is distinct from by_sql::text"
        ));
    }
    let scratch = seeded(
        &schema,
        &[("010_all.json", &format!("{{{}}}", keys.join(",\n")))],
    );
    let mut tx = tx(&scratch).await;
    let mut different = Vec::new();
    for check in checks {
        let found: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(check))
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        different.extend(found);
    }
    assert_eq!(different, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_that_is_left_out_takes_the_default_also_beside_a_domain_without_null() {
    let schema = format!(
        "{TYPES} create table t (a int, b text default 'x', c positive default 5, \
         d int generated always as (a + 1) stored);\n"
    );
    let rows = "[{\"a\": 1}, {\"b\": null, \"a\": 2}, {\"a\": 3, \"b\": \"y\", \"c\": 6}]";
    let mut tx = tx(&seeded(&schema, &[("t.json", rows)])).await;
    let seen =
        "select string_agg(concat_ws(',', a, coalesce(b, 'null'), c, d), ' ' order by a) from t";
    assert_eq!(text(&mut tx, seen).await, "1,x,5,2 2,null,5,3 3,y,6,4");
}

#[tokio::test]
async fn the_tables_of_a_json_seed_are_filled_in_the_order_of_the_file() {
    let schema = "create table users (id int primary key);
        create table posts (id int primary key, author int references users);\n";
    let rows = "{\"users\": [{\"id\": 1}], \"posts\": [{\"id\": 1, \"author\": 1}]}";
    let mut tx = tx(&seeded(schema, &[("all.json", rows)])).await;
    assert_eq!(number(&mut tx, "select count(*) from posts").await, 1);
}

#[tokio::test]
async fn a_file_with_an_object_in_each_line_is_loaded() {
    let schema = "create table t (a int, b numeric);\n";
    for file in ["010_t.jsonl", "010_t.ndjson", "010_t.JSONL"] {
        let rows = "\u{feff}{\"a\": 1, \"b\": 1.50}\n{\"a\": 2}\n\n";
        let mut tx = tx(&seeded(schema, &[(file, rows)])).await;
        let seen = "select string_agg(a || coalesce(b::text, '-'), ',' order by a) from t";
        assert_eq!(text(&mut tx, seen).await, "11.50,2-", "{file}");
    }
}

#[tokio::test]
async fn a_mistake_in_a_json_seed_is_reported_with_its_place() {
    for (rows, report) in [
        (
            r#"[{"a": 1}, {"a": 2, "b": "x", "a": 3}]"#,
            r#"row 2 has the key "a" twice"#,
        ),
        (
            r#"{"t": [{"a": 1}], "t": [{"a": 2}]}"#,
            r#"the key "t" must stand once"#,
        ),
        (r#"[{"a": 1}, {"b": "\u0000"}]"#, "for table t, row 2"),
        (r#"[{"b": "\ud800"}]"#, "for table t, row 1"),
        (
            r#"[{"a": 1}, 7]"#,
            "expected row 2 to be an object with columns",
        ),
        (
            r#"[{"nme": 1}]"#,
            r#"column "nme" of relation "t" does not exist"#,
        ),
        ("7", "expected an array or an object"),
        (
            "[{\"a\": 1},\n {\"b\":\u{a0}\"x\"}]",
            "t.json:2:7 has an invisible character, U+00A0",
        ),
        (
            "[{\"a\": 1},\n\u{200b}{\"b\": 1}]",
            "t.json:2:1 has an invisible character, U+200B",
        ),
        ("[{\"b\": \"é\0\"}]", "t.json:1:10 has a zero byte"),
        ("[\n  {\"é\": 1},\n]", "t.json:3:1 is not JSON"),
    ] {
        let scratch = seeded("create table t (a int, b text);\n", &[("t.json", rows)]);
        let error = provision_error(scratch.builder()).await;
        assert_report_contains(&error, ErrorKind::Seed, &[report]);
    }
    for (bytes, report) in [
        (
            b"[{\"b\":\n\"Garc\xeda\"}]".as_slice(),
            "t.json:2:6 is not UTF-8",
        ),
        (b"\xff\xfe[\0", "t.json:1:1 is UTF-16"),
    ] {
        let scratch = seeded("create table t (a int, b text);\n", &[("t.json", "")]);
        std::fs::write(scratch.path("seeds/t.json"), bytes).unwrap();
        let error = provision_error(scratch.builder()).await;
        assert_report_contains(&error, ErrorKind::Seed, &[report]);
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_no_mistake() {
    let schema = "create table t (a int);\n";
    let mut tx = tx(&seeded(schema, &[("t.json", "\u{feff}[{\"a\": 1}]")])).await;
    run(&mut tx, "update t set a = 2").await.unwrap();
    assert_eq!(number(&mut tx, "select a::int8 from t").await, 2);
}
