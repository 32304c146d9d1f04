//! Where a statement ends, and the characters around it.

use super::{assert_as_psql, assert_each_as_psql, needs_psql};

const TABLE: &str = "create table t (id int, x text);\n";

#[tokio::test]
async fn statements_end_where_psql_ends_them() {
    needs_psql!();
    let texts = [
        "insert into t values (1, E'it\\'s; \\\\'), (2, 'a\\'), (3, $$;$a$;$$), (4, U&'\\0061;');",
        "set standard_conforming_strings = off;\ninsert into t values (1, 'it\\'s;'), (2, 'x');\n\
         set standard_conforming_strings = on;\ninsert into t values (3, 'a\\');",
        "select set_config('standard_conforming_strings', 'off', false);\n\
         insert into t values (1, 'it\\'s;');\nreset standard_conforming_strings;\ninsert into t values (3, 'a\\');",
        "create function f() returns int language sql begin atomic select case when true then 1 \
         end; select 2; end;\ncreate procedure p() begin atomic insert into t values (1); end;",
        "create rule r as on insert to t where new.id = 0 do instead (delete from t; delete from t);",
        "create table \"\u{fc}; x\" (\u{e9}t\u{e9} int); /* a; /* b; */ c; */ insert into t values (1);",
        "insert into t values (1, E'a'\n  'b\\';'); -- it's; \ninsert into t values (2);",
        "\u{feff}insert into t values (1);\r\ninsert into t\r\nvalues (2, 'a\r\nb');\r\n",
    ];
    assert_each_as_psql(TABLE, &texts).await;
}

#[tokio::test]
async fn a_database_whose_strings_have_escapes_is_read_so() {
    needs_psql!();
    let first = format!(
        "{TABLE}do $$ begin execute format('alter database %I set standard_conforming_strings = \
         off', current_database()); end $$;\n"
    );
    assert_as_psql(&[&first, "insert into t values (1, 'it\\'s;');\n"]).await;
}
