//! Random schemas with all kinds of object: the dump of a lane equals the dump of a database that
//! `psql` migrated.
//!
//! `EBBTIDE_SEQUENCES` is the number of rounds (default 30). `EBBTIDE_SEED` is the first seed (the
//! default is fixed). A failure prints the variables that repeat only the failed round.

use std::collections::BTreeSet;

use ebbtide::{Database, Setup};
use sqlx::AssertSqlSafe;

use crate::support::difference::difference;
use crate::support::pg_dump::{pg_dump, server_program};
use crate::support::random::{Random, number_in};
use crate::support::schema_pieces::{KINDS, ROLES, SCHEMAS};
use crate::support::{Scratch, runs_natively, this_test};

/// A migration with as many objects as there are kinds, each of a random kind.
fn schema(seed: u64) -> String {
    let mut random = Random(seed);
    let mut pieces = Vec::new();
    for number in 0..KINDS.len() {
        let (_, kind) = KINDS[random.below(KINDS.len())];
        let schema = ["public", "app", "\"My Schema\""][random.below(3)];
        let piece = kind
            .replace("{s}", schema)
            .replace("{n}", &(100 + number).to_string());
        pieces.push(piece.replace("{r}", &(1 + random.below(9)).to_string()));
    }
    format!("{SCHEMAS}{}\n", pieces.join("\n"))
}

/// The output of `pg_dump`, without the database's name, sqlx's ledger, and ebbtide's schema.
async fn dump(database: &Database) -> String {
    let options = [
        "--create",
        "--exclude-schema=_ebbtide",
        "--exclude-table=public._sqlx_migrations",
    ];
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&database.pool())
        .await
        .unwrap();
    pg_dump(database, &options)
        .await
        .replace(&name, "the_database")
}

/// Asserts that a lane's dump equals that of a database that `psql` migrated, and returns the dump.
/// `round` states how to repeat a failure.
async fn assert_same_dump(round: &str, migration: &str) -> String {
    let scratch = Scratch::new();
    let file = scratch.write("migrations/1_all.sql", migration);
    let harness = scratch.builder().build().unwrap();
    let plain = harness
        .with_setup(Setup::new().without_migrations())
        .database()
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(ROLES))
        .execute(&plain.pool())
        .await
        .unwrap();
    let mut psql = server_program(&plain, "psql").await;
    psql.args([
        "--quiet",
        "--no-psqlrc",
        "--set=ON_ERROR_STOP=1",
        "--single-transaction",
        "--output=/dev/null",
        "--file",
    ]);
    let output = psql
        .arg(&file)
        .arg(plain.url())
        .env("PGOPTIONS", "-c client_min_messages=error")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{round}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lane = harness
        .database()
        .await
        .unwrap_or_else(|error| panic!("{round}: {error:?}"));
    let (expected, found) = (dump(&plain).await, dump(&lane).await);
    assert!(
        expected == found,
        "{round}\n{}",
        difference(&expected, &found)
    );
    let report = harness.diff(plain.url()).await.unwrap();
    let missing: Vec<String> = report
        .diff
        .missing
        .iter()
        .map(ToString::to_string)
        .filter(|name| !name.contains("_sqlx_migrations"))
        .collect();
    assert!(
        missing.is_empty() && report.diff.extra.is_empty() && report.diff.different.is_empty(),
        "{round}: {report}"
    );
    lane.close().await.unwrap();
    plain.close().await.unwrap();
    found
}

#[tokio::test]
async fn the_dump_of_a_lane_equals_that_of_a_database_that_psql_migrated() {
    if !runs_natively(this_test!()) {
        return;
    }
    let (rounds, first) = (
        number_in("EBBTIDE_SEQUENCES").unwrap_or(30),
        number_in("EBBTIDE_SEED").unwrap_or(12),
    );
    for seed in first..first + rounds {
        assert_same_dump(
            &format!("EBBTIDE_SEED={seed} EBBTIDE_SEQUENCES=1"),
            &schema(seed),
        )
        .await;
    }
}

#[tokio::test]
async fn every_kind_of_object_has_the_same_dump() {
    if !runs_natively(this_test!()) {
        return;
    }
    // All of them in one database, each once.
    let pieces = KINDS.iter().enumerate().map(|(number, (_, sql))| {
        sql.replace("{s}", "app")
            .replace("{n}", &(100 + number).to_string())
            .replace("{r}", "3")
    });
    let text = format!("{SCHEMAS}{}\n", pieces.collect::<Vec<_>>().join("\n"));
    let dumped = assert_same_dump("all kinds", &text).await;
    // `pg_dump` writes a comment with the object's type above each object.
    let types = dumped.lines().filter_map(|line| {
        line.strip_prefix("-- ")?
            .split_once("; Type: ")?
            .1
            .split(';')
            .next()
    });
    let types: BTreeSet<&str> = types.collect();
    assert!(types.len() >= 40, "{types:?}");
}
