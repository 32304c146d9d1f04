//! `psql`, a process of its own, over a `Database`.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

use ebbtide::Database;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Says that a test is skipped, on a line that `.ci/run` looks for; fails where `EBBTIDE_REQUIRE` names `psql`.
fn skip(why: &str) {
    let required = std::env::var("EBBTIDE_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == "psql"),
        "EBBTIDE_REQUIRE={required}, and {why}"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the runner, which keeps to itself what a test prints that passes. Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "\nSKIPPED: {test}: {why}");
}

fn has_psql() -> bool {
    let found = Command::new("psql")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    match found {
        Ok(status) => status.success(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip("psql is not on PATH");
            false
        }
        Err(error) => panic!("psql cannot be run: {error}"),
    }
}

/// What a script of SQL prints. `psql` reads it as a person's file.
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
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(script.as_bytes())?;
    drop(input);
    child.wait_with_output()
}

/// What a script prints that must not fail.
fn said(database: &Database, script: &str) -> std::io::Result<String> {
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

/// A test on a database that must be as no other test has touched it.
fn a_whole_test(database: &Database) -> std::io::Result<()> {
    assert_eq!(said(database, STATE)?, "0|100");
    assert_eq!(said(database, ORDER)?, "1", "the first id");
    assert_eq!(
        said(database, STATE)?,
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
    Ok(a_whole_test(&database)?)
}

#[ebbtide::test]
fn a_script_that_fails_leaves_its_transaction_undone(database: Database) -> Outcome {
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
    assert_eq!(said(&database, STATE)?, "0|100");
    Ok(())
}

#[ebbtide::test]
async fn the_next_test_sees_nothing_of_it() -> Outcome {
    if !has_psql() {
        return Ok(());
    }
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let database = ebbtide::database().await?;
        a_whole_test(&database)?;
        // Its number: the end of the name changes after each test.
        names.insert(
            database
                .name()
                .rsplit_once('_')
                .map(|(lane, _)| lane.to_owned()),
        );
        database.close().await?;
    }
    assert!(names.len() < 5, "none of them was used twice: {names:?}");
    Ok(())
}
