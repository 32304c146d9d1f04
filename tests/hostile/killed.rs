//! Tests whose process ends before they do, or that forget what they have.

use sqlx::Connection as _;

use crate::body::{Left, run};
use crate::given::{Given, Kind};
use crate::support::again::{again_as, role};
use crate::support::{here, natively};
use crate::world::{Mark, Played, Setup, World, builder_in};

/// How the process ends.
const ENDINGS: [&str; 3] = ["abort", "forget", "forget a transaction"];
const MARK: &str = "MARK ";

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_is_killed_or_forgotten_leaves_nothing_to_the_next() {
    if let Some(part) = role() {
        return child(&part).await;
    }
    if !natively(here!()) {
        return;
    }
    let world = World::new(Setup::Plain).await;
    let mut hindered = Vec::new();
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        for (at, ending) in ENDINGS.into_iter().enumerate() {
            let mut child = again_as(
                &format!("{}\n{kind}\n{ending}", world.root().display()),
                here!(),
            );
            let output = tokio::task::spawn_blocking(move || child.output().unwrap())
                .await
                .unwrap();
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let mark = printed
                .lines()
                .find_map(|line| line.strip_prefix(MARK))
                .and_then(Mark::read);
            let mark = mark.unwrap_or_else(|| {
                panic!("{printed}\n{}", String::from_utf8_lossy(&output.stderr))
            });
            let next = Kind::ALL[(number + at) % 3];
            for finding in world
                .look(
                    next,
                    &Played {
                        mark,
                        left: Left::dropped(),
                    },
                )
                .await
            {
                hindered.push(format!(
                    "{ending} in a {kind}, then {next}: {}: {}",
                    finding.part, finding.difference
                ));
            }
        }
    }
    assert!(hindered.is_empty(), "{}", hindered.join("\n"));
}

/// Does what it is to do, and never returns.
async fn child(part: &str) {
    let [root, kind, ending] = part.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{part}")
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|it| it.to_string() == kind)
        .unwrap();
    let harness = builder_in(root.as_ref(), Setup::Plain).build().unwrap();
    let mut given = Given::open(&harness, kind).await.unwrap();
    let mark = Mark::of(&mut given).await;
    {
        let mut session = given.session().await.unwrap();
        let mut transaction = session.get().begin().await.unwrap();
        let writes = "insert into notes select n, 'of a killed test' from generate_series(1, 3000) n; analyze notes; \
                      select setval('tickets', 5000), set_config('app.tenant', '1', true), pg_advisory_lock(1)";
        run(&mut transaction, writes).await.unwrap();
        match ending {
            "forget a transaction" => std::mem::forget(transaction),
            _ => transaction.commit().await.unwrap(),
        }
    }
    println!("\n{MARK}{mark}");
    if ending == "abort" {
        std::process::abort();
    }
    std::mem::forget(given);
    std::process::exit(0);
}
