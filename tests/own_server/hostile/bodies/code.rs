//! Bodies in code: tests that are dropped, cancelled or forgotten, and connections, pools and
//! threads that outlive their test.

use std::pin::pin;

use futures_util::FutureExt as _;
use futures_util::TryStreamExt as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::hostile::body::{ANY, Body, BodyOutcome, DATABASE_ONLY, TX_OR_SANDBOX, code, execute};
use crate::hostile::reconnecting_thread::ReconnectingThread;
use crate::hostile::test_database::TestDatabase;
use crate::hostile::view::read_back_new_enum;

/// Makes a function pointer for [`code`] from an async block, which ends its test itself.
macro_rules! code_body {
    (|$test_database:pat_param| $body:block) => {{
        fn end($test_database: TestDatabase) -> crate::hostile::body::BodyFuture {
            Box::pin(async move { $body })
        }
        end
    }};
}

/// A row, a custom setting and a seed: traces in the database and in the session.
const WRITE: &str = "insert into notes values (1, 'one'); \
                     select set_config('app.tenant', '1', true), setseed(0.42)";

pub(super) const BODIES: &[Body] = &[
    code(
        "a test dropped without close",
        ANY,
        code_body!(|mut test_database| {
            write(&mut test_database).await;
            drop(test_database);
            BodyOutcome::dropped()
        }),
    ),
    code(
        "a panic in the test",
        ANY,
        code_body!(|mut test_database| {
            let ended = tokio::spawn(async move {
                write(&mut test_database).await;
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            assert!(ended.await.is_err());
            BodyOutcome::dropped()
        }),
    ),
    code(
        "a future dropped in the middle of a statement",
        ANY,
        code_body!(|mut test_database| {
            if let Ok(mut session) = test_database.session().await {
                let mut slow = pin!(execute(
                    session.get(),
                    "insert into notes select 1, 'late' from pg_sleep(600)"
                ));
                // Five polls are enough for the driver to send the statement.
                for _ in 0..5 {
                    let _ = (&mut slow).now_or_never();
                    tokio::task::yield_now().await;
                }
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    )
    .slow(),
    code(
        "a test whose task is aborted during a statement",
        ANY,
        code_body!(|mut test_database| {
            let task = tokio::spawn(async move {
                write(&mut test_database).await;
                if let Ok(mut session) = test_database.session().await {
                    // The task is aborted while this statement runs.
                    let _ = execute(
                        session.get(),
                        "insert into notes select 1, 'late' from pg_sleep(600)",
                    )
                    .await;
                }
            });
            tokio::task::yield_now().await;
            task.abort();
            // The error is that the task was cancelled.
            let _ = task.await;
            BodyOutcome::dropped()
        }),
    )
    .slow(),
    code(
        "a statement cancelled from elsewhere",
        ANY,
        code_body!(|mut test_database| {
            let options = test_database.options();
            if let (Ok(mut session), Ok(mut other)) = (
                test_database.session().await,
                PgConnection::connect_with(&options).await,
            ) {
                let cancel = async {
                    while execute(
                    &mut other,
                    "do $$ begin perform pg_cancel_backend(pid) from pg_stat_activity where query like '%pg_sleep(601)%' \
                     and state = 'active' and pid <> pg_backend_pid(); if not found then raise 'not yet'; end if; end $$",
                )
                .await
                .is_err()
                {}
                };
                let (cancelled, ()) = tokio::join!(
                    execute(
                        session.get(),
                        "insert into notes select 1, 'cancelled' from pg_sleep(601)"
                    ),
                    cancel
                );
                assert!(cancelled.is_err());
                // An error is no failure: the session may have ended already.
                let _ = other.close().await;
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    ),
    code(
        "a COPY that is never finished",
        ANY,
        code_body!(|mut test_database| {
            if let Ok(mut session) = test_database.session().await
                && let Ok(mut copy) = session.get().copy_in_raw("copy notes (n) from stdin").await
            {
                // `copy` is dropped without `finish` or `abort`.
                let _ = copy.send("1\n2\n3\n".as_bytes()).await;
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    ),
    code(
        "COPY of 20,000 rows",
        ANY,
        code_body!(|mut test_database| {
            if let Ok(mut session) = test_database.session().await {
                let mut copy = session
                    .get()
                    .copy_in_raw("copy notes (n) from stdin")
                    .await
                    .unwrap();
                let rows = (1..=20_000)
                    .map(|n| n.to_string())
                    .collect::<Vec<_>>()
                    .join("\n");
                copy.send(rows.as_bytes()).await.unwrap();
                copy.finish().await.unwrap();
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    ),
    code(
        "rows that are not read to the end",
        ANY,
        code_body!(|mut test_database| {
            if let Ok(mut session) = test_database.session().await {
                let mut rows = sqlx::query("select generate_series(1, 20000)").fetch(session.get());
                assert!(rows.try_next().await.is_ok());
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    ),
    code(
        "a COPY to the client that is not read to the end",
        ANY,
        code_body!(|mut test_database| {
            if let Ok(mut session) = test_database.session().await {
                let mut rows = session
                    .get()
                    .copy_out_raw("copy (select generate_series(1, 20000)) to stdout")
                    .await
                    .unwrap();
                assert!(rows.try_next().await.is_ok());
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    ),
    code(
        "a transaction leaked with mem::forget",
        ANY,
        code_body!(|mut test_database| {
            if let Ok(mut session) = test_database.session().await {
                let mut transaction = session.get().begin().await.unwrap();
                execute(&mut transaction, WRITE).await.unwrap();
                std::mem::forget(transaction);
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    ),
    code(
        "a new type in the driver's cache",
        ANY,
        code_body!(|mut test_database| {
            if let Ok(mut session) = test_database.session().await {
                execute(session.get(), "create type filler as enum ('a')")
                    .await
                    .unwrap();
                read_back_new_enum(session.get()).await.unwrap();
            }
            BodyOutcome::closed(test_database.close().await)
        }),
    ),
    code(
        "a pool that is used after the test",
        DATABASE_ONLY,
        code_body!(|test_database| {
            let TestDatabase::Database(database) = &test_database else {
                unreachable!("the body runs in a Database only")
            };
            let pool = database.pool();
            let was_open = can_acquire(&pool).await;
            let closed = test_database.close().await;
            assert!(
                was_open && pool.acquire().await.is_err(),
                "closing the test must close its pool"
            );
            BodyOutcome::closed(closed)
        }),
    ),
    code(
        "a pooled connection that is held after the test",
        ANY,
        code_body!(|test_database| {
            let pool = match &test_database {
                TestDatabase::Tx(_) => None,
                TestDatabase::Sandbox(sandbox) => Some(sqlx::PgPool::clone(sandbox)),
                TestDatabase::Database(database) => Some(database.pool()),
            };
            let held = match &pool {
                Some(pool) => pool.acquire().await.ok(),
                None => None,
            };
            let closed = test_database.close().await;
            if let Some(mut held) = held {
                // ebbtide has ended this session.
                let _ = execute(
                    &mut held,
                    "begin read write; insert into notes values (1, 'late'); commit",
                )
                .await;
            }
            BodyOutcome::closed(closed)
        }),
    )
    .slow(),
    code(
        "a connection detached from the pool",
        ANY,
        code_body!(|test_database| {
            let held = match &test_database {
                TestDatabase::Tx(_) => None,
                TestDatabase::Sandbox(sandbox) => Some(sandbox.acquire().await.unwrap().detach()),
                TestDatabase::Database(database) => {
                    Some(database.pool().acquire().await.unwrap().detach())
                }
            };
            let closed = test_database.close().await;
            if let Some(mut held) = held {
                // ebbtide has ended this session, or it is outside every test's transaction.
                let _ = execute(
                    &mut held,
                    "rollback; begin read write; insert into notes values (1, 'late'); commit",
                )
                .await;
            }
            BodyOutcome::closed(closed)
        }),
    )
    .slow(),
    code(
        "a pool that the application opened itself",
        ANY,
        code_body!(|test_database| {
            let pool = crate::hostile::view::lazy_pool(test_database.options());
            if let Ok(mut connection) = pool.acquire().await {
                // Whether the server accepts the write depends on the test's kind.
                let _ = execute(
                    &mut connection,
                    "begin read write; insert into notes values (1, 'one'); commit",
                )
                .await;
            }
            let closed = test_database.close().await;
            if let Ok(mut connection) = pool.acquire().await {
                // If ebbtide has ended the session, the pool connects again.
                let _ = execute(
                    &mut connection,
                    "begin read write; insert into notes values (2, 'two'); commit",
                )
                .await;
                BodyOutcome {
                    connections: vec![connection.detach()],
                    ..BodyOutcome::closed(closed)
                }
            } else {
                BodyOutcome::closed(closed)
            }
        }),
    ),
    code(
        "the test's URL used after the test",
        ANY,
        code_body!(|test_database| {
            let options = test_database.options().application_name("hostile and late");
            let closed = test_database.close().await;
            let mut outcome = BodyOutcome::closed(closed);
            // ebbtide must refuse the URL after the test.
            if let Ok(mut late) = PgConnection::connect_with(&options).await {
                let late_write = "begin read write; insert into notes values (-1, 'late'); commit; \
                                  listen tides; select pg_advisory_lock(9)";
                // If the server accepts the write, the next test's view shows it.
                let _ = execute(&mut late, late_write).await;
                outcome.connections.push(late);
            }
            outcome
        }),
    ),
    code(
        "a thread that reconnects again and again",
        ANY,
        code_body!(|test_database| {
            let options = test_database.options();
            let thread = tokio::task::spawn_blocking(move || ReconnectingThread::start(options))
                .await
                .unwrap();
            let closed = test_database.close().await;
            BodyOutcome {
                thread: Some(thread),
                ..BodyOutcome::closed(closed)
            }
        }),
    ),
    code(
        "a second connection that outlives the test",
        TX_OR_SANDBOX,
        code_body!(|mut test_database| {
            write(&mut test_database).await;
            let options = test_database.options();
            let other = PgConnection::connect_with(&options).await;
            BodyOutcome {
                connections: other.into_iter().collect(),
                ..BodyOutcome::closed(test_database.close().await)
            }
        }),
    ),
];

async fn write(test_database: &mut TestDatabase) {
    if let Ok(mut session) = test_database.session().await {
        execute(session.get(), WRITE).await.unwrap();
    }
}

async fn can_acquire(pool: &sqlx::PgPool) -> bool {
    pool.acquire().await.is_ok()
}
