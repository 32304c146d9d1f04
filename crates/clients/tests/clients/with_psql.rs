//! `psql`, a separate process, on a `Database`.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

use ebbtide::Database;

use crate::repeated::on_five_databases_async;
use crate::skip::skip;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn has_psql() -> bool {
    let found = Command::new("psql")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    match found {
        Ok(status) => status.success(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip("psql", "psql is not on PATH");
            false
        }
        Err(error) => panic!("could not run psql: {error}"),
    }
}

/// Runs an SQL script on the standard input of `psql`.
fn psql(database: &Database, script: &str) -> std::io::Result<Output> {
    let mut child = Command::new("psql")
        .args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            database.url(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().expect("stdin is piped");
    input.write_all(script.as_bytes())?;
    drop(input);
    child.wait_with_output()
}

/// The output of an SQL script that must succeed.
fn psql_stdout(database: &Database, script: &str) -> std::io::Result<String> {
    let output = psql(database, script)?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

const STATE: &str =
    "select count(*), (select stock from products where sku = 'TEA-1') from orders;";

const ORDER: &str = "
    begin;
    insert into orders (product, customer, quantity) select id, 'Laura', 3 from products where sku = 'TEA-1' returning id;
    update products set stock = stock - 3 where sku = 'TEA-1';
    commit;
";

/// Places an order and asserts its effects. The database must be in its initial state.
fn place_and_verify_order(database: &Database) -> std::io::Result<()> {
    assert_eq!(psql_stdout(database, STATE)?, "0|100");
    assert_eq!(psql_stdout(database, ORDER)?, "1", "the first id");
    assert_eq!(
        psql_stdout(database, STATE)?,
        "1|97",
        "another session sees the commit"
    );
    Ok(())
}

#[ebbtide::test]
fn an_order_is_committed_and_seen_by_other_sessions(database: Database) -> Outcome {
    if !has_psql() {
        return Ok(());
    }
    Ok(place_and_verify_order(&database)?)
}

#[ebbtide::test]
fn the_transaction_of_a_script_that_fails_is_rolled_back(database: Database) -> Outcome {
    if !has_psql() {
        return Ok(());
    }
    let failing = ORDER.replace("stock - 3", "stock - 1000");
    let output = psql(&database, &failing)?;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("products_stock_check"),
        "{output:?}"
    );
    assert_eq!(psql_stdout(&database, STATE)?, "0|100");
    Ok(())
}

#[ebbtide::test]
async fn the_next_test_does_not_see_the_orders() -> Outcome {
    if !has_psql() {
        return Ok(());
    }
    on_five_databases_async(async |database| place_and_verify_order(database)).await
}
