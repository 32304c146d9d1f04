//! The table of a seed, found by the file's name.

use super::{seeded, tx};
use crate::support::reports::{assert_report_contains, provision_error};
use crate::support::sql::number;
use ebbtide::ErrorKind;
use sqlx::AssertSqlSafe;

const TABLES: &str = r#"create table "2fa_tokens" (a int);
    create table fa_tokens (a int);
    create table products (a int);
    create table "010_stock" (a int);
    create table stock (a int);
    create table "Order.Lines" (a int);
    create table "say ""hi""" (a int);
    create table "two words" (a int);
    create table "Upper" (a int);
    create schema sales;
    create table sales.orders (a int);
    create table sales."Order.Lines" (a int);
    create table sales.only_here (a int);
    create view shown as select a from products;
    create table parts (a int) partition by list (a);
    create table parts_1 partition of parts for values in (1);
"#;

#[tokio::test]
async fn a_file_fills_the_table_in_its_name() {
    for (file, table) in [
        ("2fa_tokens.csv", "\"2fa_tokens\""),
        ("010_2fa_tokens.csv", "\"2fa_tokens\""),
        ("fa_tokens.json", "fa_tokens"),
        ("010_products.csv", "products"),
        ("010-products.json", "products"),
        ("2026-01-02 products.csv", "products"),
        ("010_stock.csv", "\"010_stock\""),
        ("020_stock.csv", "stock"),
        ("Order.Lines.csv", "\"Order.Lines\""),
        ("010_\"Order.Lines\".csv", "\"Order.Lines\""),
        ("say \"hi\".json", "\"say \"\"hi\"\"\""),
        ("\"say \"\"hi\"\"\".csv", "\"say \"\"hi\"\"\""),
        ("two words.tsv", "\"two words\""),
        ("Upper.csv", "\"Upper\""),
        ("010_sales.orders.csv", "sales.orders"),
        ("sales.\"Order.Lines\".csv", "sales.\"Order.Lines\""),
        ("only_here.csv", "sales.only_here"),
        ("shown.csv", "products"),
        ("parts.csv", "parts_1"),
    ] {
        let rows = if file.ends_with("json") {
            "[{\"a\": 1}]"
        } else {
            "a\n1\n"
        };
        let mut tx = tx(&seeded(TABLES, &[(file, rows)])).await;
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(count, 1, "{file}");
    }
}

#[tokio::test]
async fn a_key_of_a_json_seed_may_be_any_name() {
    let rows = r#"{"2fa_tokens": [{"a": 1}], "\"Order.Lines\"": [{"a": 1}],
        "sales.Order.Lines": [{"a": 1}], "only_here": [{"a": 1}]}"#;
    let mut tx = tx(&seeded(TABLES, &[("010.json", rows)])).await;
    let sum = "select sum(a) from (select a from \"2fa_tokens\" union all \
               select a from \"Order.Lines\" union all \
               select a from sales.\"Order.Lines\" union all \
               select a from sales.only_here) rows (a)";
    assert_eq!(number(&mut tx, sum).await, 4);
}

#[tokio::test]
async fn a_name_that_fits_no_table_or_several_is_refused_with_the_candidates() {
    let twins = "create schema one; create schema two; create table one.users (a int);
        create table two.users (a int); create table customers (a int);
        do $$ begin execute format('alter database %I set search_path = one, two, public',
        current_database()); end $$;\n";
    for (file, reports) in [
        (
            "010_custmers.csv",
            &[
                "did you mean the table customers?",
                "for the table custmers",
            ] as &[&str],
        ),
        ("2customers.csv", &["did you mean the table customers?"]),
        ("Customers.csv", &["did you mean the table customers?"]),
        (
            "users.csv",
            &[
                "must name one table, but users can be one.users or two.users",
                "write the schema",
            ],
        ),
        (
            "010_.csv",
            &["the name of a CSV or JSON file must contain its table"],
        ),
        (
            "010.json",
            &["the name of a CSV or JSON file must contain its table"],
        ),
        (
            "three.users.csv",
            &["for the table three.users, which does not exist"],
        ),
    ] {
        let rows = if file.ends_with("json") {
            "[{\"a\": 1}]"
        } else {
            "a\n1\n"
        };
        let error = provision_error(seeded(twins, &[(file, rows)]).builder()).await;
        assert_report_contains(&error, ErrorKind::Seed, reports);
    }
}
