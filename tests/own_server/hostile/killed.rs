//! Tests whose process is killed before they end, or that leak their value with `mem::forget`.
//!
//! Each runs in a child process with the plan of the parent's server, and so on that server. Then
//! the parent inspects the next test on the child's database.

use sqlx::Connection as _;

use crate::hostile::body::{BodyOutcome, execute};
use crate::hostile::test_database::{Kind, TestDatabase};
use crate::hostile::test_server::{CompletedBody, DatabaseId, ServerKind, TestServer, builder_in};
use crate::support::child_process::{child_role, test_command_as};
use crate::support::{runs_natively, this_test};

/// How the child process ends.
const ENDINGS: [&str; 3] = ["abort", "forget", "forget a transaction"];
/// Begins the line on which the child process prints its database.
const DATABASE_ID_PREFIX: &str = "MARK ";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_or_forgotten_test_leaves_nothing_for_the_next_test() {
    if let Some(part) = child_role() {
        return child(&part).await;
    }
    if !runs_natively(this_test!()) {
        return;
    }
    let server = TestServer::new(ServerKind::Plain).await;
    let mut findings = Vec::new();
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        for (at, ending) in ENDINGS.into_iter().enumerate() {
            let mut child = test_command_as(
                &format!("{}\n{kind}\n{ending}", server.root().display()),
                this_test!(),
            );
            let output = tokio::task::spawn_blocking(move || child.output().unwrap())
                .await
                .unwrap();
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            let database = stdout
                .lines()
                .find_map(|line| line.strip_prefix(DATABASE_ID_PREFIX))
                .and_then(DatabaseId::parse);
            let database = database
                .unwrap_or_else(|| panic!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr)));
            let next = Kind::ALL[(number + at) % 3];
            for finding in server
                .inspect_next(
                    next,
                    &CompletedBody {
                        database,
                        outcome: BodyOutcome::dropped(),
                    },
                )
                .await
            {
                findings.push(format!(
                    "{ending} in a {kind}, then {next}: {}: {}",
                    finding.part, finding.difference
                ));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Opens a test, writes in it, prints its database, and ends the process without closing the test.
///
/// `abort` skips every destructor. `exit` after `mem::forget` skips the destructor of the test, as
/// in a program that leaks the value. A forgotten transaction is still open when the process ends.
async fn child(part: &str) {
    let [root, kind, ending] = part.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{part}")
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|candidate| candidate.to_string() == kind)
        .unwrap();
    let harness = builder_in(root.as_ref(), ServerKind::Plain)
        .build()
        .unwrap();
    let mut test_database = TestDatabase::open(&harness, kind).await.unwrap();
    let database = DatabaseId::of(&mut test_database).await;
    {
        let mut session = test_database.session().await.unwrap();
        let mut transaction = session.get().begin().await.unwrap();
        let writes = "insert into notes \
                      select n, 'of a killed test' from generate_series(1, 3000) n; \
                      analyze notes; \
                      select setval('tickets', 5000), set_config('app.tenant', '1', true), \
                      pg_advisory_lock(1)";
        execute(&mut transaction, writes).await.unwrap();
        match ending {
            "forget a transaction" => std::mem::forget(transaction),
            _ => transaction.commit().await.unwrap(),
        }
    }
    println!("\n{DATABASE_ID_PREFIX}{database}");
    if ending == "abort" {
        std::process::abort();
    }
    std::mem::forget(test_database);
    std::process::exit(0);
}
