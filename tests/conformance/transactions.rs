//! Holes that a transaction around everything makes, for code that begins, commits, rolls back or fails.

use ebbtide::ErrorKind;
use sqlx::Connection as _;

use crate::parts;
use crate::table::{Kind, Verdict};
use crate::world::{World, code, number, run, text};

const NAMES: &str = "select coalesce(string_agg(name, ', ' order by id), '') from parents";

/// Hole 2.
pub(crate) async fn deferred_constraints(world: &World) -> Verdict {
    let mut test = world.next().await;
    let written = test.run("insert into children (parent) values (42)").await;
    let ended = test.end().await;
    match (written, ended) {
        (Err(error), Ok(())) if code(&error) == "23503" => Verdict::Same,
        (Ok(()), Err(told)) => {
            assert_eq!(told.kind(), ErrorKind::ConstraintViolated);
            assert!(told.to_string().contains("children_parent_fkey"), "{told}");
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
        match strayed(world, stray).await {
            Verdict::Same => {}
            Verdict::Silent => return Verdict::Silent,
            told => worst = told,
        }
    }
    worst
}

async fn strayed(world: &World, stray: &str) -> Verdict {
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
    let is_told = match (&done, ended) {
        // invalid_transaction_termination: PostgreSQL's own.
        (Err(error), Ok(())) => code(error) == "2D000",
        (Err(error), Err(told)) => {
            let is_ours = code(error) == "25000" && error.to_string().contains("COMMIT refused");
            is_ours && told.kind() == ErrorKind::TransactionEscaped && is_copied
        }
        (Ok(()), Err(told)) => {
            let help = told.help().unwrap_or_default();
            let is_named = help.contains("ROLLBACK") && help.contains("`Database`");
            told.kind() == ErrorKind::TransactionEscaped && is_named && after.is_err() && is_copied
        }
        (Ok(()), Ok(())) => false,
    };
    if is_told {
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
            // The first error before its shadow.
            let is_told = parts::is_told(
                world,
                &[ADD, ADD, "select 1"],
                &["23505", "25P02", "`Sandbox`"],
            )
            .await;
            if is_told {
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
    // What the driver refuses it may also roll back, all of it: is this still in the test's transaction?
    let written = test
        .run("insert into parents (name) values ('after the refusal')")
        .await;
    match test.end().await {
        Ok(()) => assert!(written.is_ok(), "{written:?}"),
        Err(told) => {
            assert_eq!(code(&written.unwrap_err()), "25006");
            assert_eq!(told.kind(), ErrorKind::TransactionEscaped);
            assert!(told.help().unwrap().contains("`begin_with`"), "{told:?}");
        }
    }
    let mut next = world.next_on(&database).await;
    let is_left = !text(&mut *next.session().await, NAMES).await.is_empty();
    next.end().await.unwrap();
    if is_left {
        return Verdict::Silent;
    }
    if verdict == Verdict::Refused && world.kind != Kind::Plain {
        // The driver has no advice to give. In SQL, it is the server that refuses.
        let is_told = parts::is_told(
            world,
            &["select 1", "set transaction isolation level serializable"],
            &["25001", "`ebbtide::Database`"],
        )
        .await;
        return if is_told {
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
        other => panic!("one of them has fired: {other:?}"),
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
        // Code that commits where it should have rolled back: its test must be able to see that.
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
