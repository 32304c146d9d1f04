//! Holes of a transaction around the whole test, for code that begins, commits, rolls back or
//! fails.

use ebbtide::ErrorKind;
use sqlx::Connection as _;

use crate::conformance::children;
use crate::conformance::table::{Kind, Verdict};
use crate::conformance::world::World;
use crate::support::sql::{code, number, run, text};

const NAMES: &str = "select coalesce(string_agg(name, ', ' order by id), '') from parents";

/// Hole 2.
pub(crate) async fn deferred_constraints(world: &World) -> Verdict {
    let mut test = world.next().await;
    let written = test.run("insert into children (parent) values (42)").await;
    let ended = test.end().await;
    match (written, ended) {
        (Err(error), Ok(())) if code(&error) == "23503" => Verdict::Same,
        (Ok(()), Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::ConstraintViolated);
            assert!(
                error.to_string().contains("children_parent_fkey"),
                "{error}"
            );
            Verdict::Closed
        }
        (Ok(()), Ok(())) => Verdict::Silent,
        (written, ended) => panic!("{written:?}, then {ended:?}"),
    }
}

/// Hole 8.
pub(crate) async fn stray_commit(world: &World) -> Verdict {
    let mut worst = Verdict::Same;
    for stray in ["commit", "rollback", "call tidy()"] {
        match verdict_after(world, stray).await {
            Verdict::Same => {}
            Verdict::Silent => return Verdict::Silent,
            verdict => worst = verdict,
        }
    }
    worst
}

/// The verdict on a test that runs this statement in the middle.
async fn verdict_after(world: &World, stray: &str) -> Verdict {
    let mut test = world.next().await;
    let (database, copy) = (test.database().await, test.oid().await);
    let is_wrapped = test.is_wrapped().await;
    test.run("insert into parents (name) values ('before')")
        .await
        .unwrap();
    let done = test.run(stray).await;
    let after = test
        .run("insert into parents (name) values ('after')")
        .await;
    let ended = test.end().await;

    let mut next = world.next_on(&database).await;
    let is_left = !text(&mut *next.session().await, NAMES).await.is_empty();
    let is_copied = next.oid().await != copy;
    next.end().await.unwrap();
    if is_left {
        return Verdict::Silent;
    }
    if !is_wrapped && done.is_ok() && after.is_ok() && ended.is_ok() {
        return Verdict::Same;
    }
    let is_reported = match (&done, ended) {
        // invalid_transaction_termination: PostgreSQL itself refuses the procedure's COMMIT.
        (Err(error), Ok(())) => code(error) == "2D000",
        (Err(error), Err(end_error)) => {
            let is_by_guard =
                code(error) == "25000" && error.to_string().contains("COMMIT refused");
            is_by_guard && end_error.kind() == ErrorKind::TransactionEscaped && is_copied
        }
        (Ok(()), Err(end_error)) => {
            let help = end_error.help().unwrap_or_default();
            let is_named = help.contains("ROLLBACK") && help.contains("`ebbtide::Database`");
            end_error.kind() == ErrorKind::TransactionEscaped
                && is_named
                && after.is_err()
                && is_copied
        }
        (Ok(()), Ok(())) => false,
    };
    if is_reported {
        Verdict::Closed
    } else {
        Verdict::Silent
    }
}

/// Hole 9.
pub(crate) async fn poison(world: &World) -> Verdict {
    const ADD: &str = "insert into parents (name) values ('Laura')";
    let mut test = world.next_with_savepoints().await;
    let is_wrapped = test.is_wrapped().await;
    test.run(ADD).await.unwrap();
    assert_eq!(code(&test.run(ADD).await.unwrap_err()), "23505");
    let later = test
        .run("insert into parents (name) values ('Marta')")
        .await;
    let names = if later.is_ok() {
        text(&mut *test.session().await, NAMES).await
    } else {
        String::new()
    };
    test.end().await.unwrap();
    match later {
        Ok(()) if names != "Laura, Marta" => Verdict::Silent,
        Ok(()) if is_wrapped => Verdict::Closed,
        Ok(()) => Verdict::Same,
        Err(error) => {
            assert_eq!(code(&error), "25P02");
            if world.kind == Kind::Plain {
                return Verdict::Refused;
            }
            // The report must show the first error, and then the 25P02 that follows from it.
            let is_reported = children::report_contains(
                world,
                &[ADD, ADD, "select 1"],
                &["23505", "25P02", "`Sandbox`"],
            )
            .await;
            if is_reported {
                world.kind.difference()
            } else {
                Verdict::Silent
            }
        }
    }
}

/// Hole 11.
pub(crate) async fn isolation_level(world: &World) -> Verdict {
    const LEVEL: &str = "select current_setting('transaction_isolation')";
    let mut test = world.next_serializable().await;
    let database = test.database().await;
    if text(&mut *test.session().await, LEVEL).await == "serializable" {
        test.end().await.unwrap();
        return Verdict::Closed;
    }
    let verdict = {
        let mut session = test.session().await;
        match session
            .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
            .await
        {
            Ok(mut transaction) => match &*text(&mut transaction, LEVEL).await {
                "serializable" => Verdict::Same,
                _ => Verdict::Silent,
            },
            Err(sqlx::Error::InvalidSavePointStatement) => Verdict::Refused,
            Err(error) => panic!("{error}"),
        }
    };
    if verdict == Verdict::Same {
        test.end().await.unwrap();
        return verdict;
    }
    // When the driver refuses a statement, it may also roll back the whole transaction. Either this
    // insert is still inside the test's transaction, or the test must fail.
    let written = test
        .run("insert into parents (name) values ('after the refusal')")
        .await;
    match test.end().await {
        Ok(()) => assert!(written.is_ok(), "{written:?}"),
        Err(error) => {
            assert_eq!(code(&written.unwrap_err()), "25006");
            assert_eq!(error.kind(), ErrorKind::TransactionEscaped);
            assert!(error.help().unwrap().contains("`begin_with`"), "{error:?}");
        }
    }
    let mut next = world.next_on(&database).await;
    let is_left = !text(&mut *next.session().await, NAMES).await.is_empty();
    next.end().await.unwrap();
    if is_left {
        return Verdict::Silent;
    }
    if verdict == Verdict::Refused && world.kind != Kind::Plain {
        // The driver's own error has no remedy. The report is checked with a statement in SQL,
        // which the server refuses.
        let is_reported = children::report_contains(
            world,
            &["select 1", "set transaction isolation level serializable"],
            &["25001", "`ebbtide::Database`"],
        )
        .await;
        return if is_reported {
            Verdict::Refused
        } else {
            Verdict::Silent
        };
    }
    verdict
}

/// Hole 16.
pub(crate) async fn on_commit(world: &World) -> Verdict {
    let mut test = world.next().await;
    let left = {
        let mut session = test.session().await;
        let mut transaction = session.begin().await.unwrap();
        let tables = "create temporary table dropped (id int) on commit drop; \
                      create temporary table emptied (id int) on commit delete rows; insert into emptied values (1)";
        run(&mut transaction, tables).await.unwrap();
        transaction.commit().await.unwrap();
        let dropped = number(
            &mut session,
            "select (to_regclass('pg_temp.dropped') is not null)::int::int8",
        )
        .await;
        (
            dropped,
            number(&mut session, "select count(*) from emptied").await,
        )
    };
    test.end().await.unwrap();
    match left {
        (0, 0) => Verdict::Same,
        (1, 1) => world.kind.difference(),
        other => panic!("ON COMMIT must act on both tables or on none: {other:?}"),
    }
}

/// Hole 17.
pub(crate) async fn broken_rollback(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    let is_wrapped = test.is_wrapped().await;
    let seen = {
        let mut session = test.session().await;
        let mut sound = session.begin().await.unwrap();
        run(&mut sound, "insert into parents (name) values ('undone')")
            .await
            .unwrap();
        sound.rollback().await.unwrap();
        // This code commits where it should roll back. Its test must see the row.
        let mut broken = session.begin().await.unwrap();
        run(
            &mut broken,
            "insert into parents (name) values ('half done')",
        )
        .await
        .unwrap();
        let mut nested = broken.begin().await.unwrap();
        assert_eq!(
            code(&run(&mut nested, "select 1/0").await.unwrap_err()),
            "22012"
        );
        nested.rollback().await.unwrap();
        broken.commit().await.unwrap();
        text(&mut session, NAMES).await
    };
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_left = !text(&mut *next.session().await, NAMES).await.is_empty();
    next.end().await.unwrap();
    match &*seen {
        "half done" if is_left => Verdict::Silent,
        "half done" if is_wrapped => Verdict::Closed,
        "half done" => Verdict::Same,
        _ => Verdict::Silent,
    }
}
