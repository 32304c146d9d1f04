//! Tests that do not end as they should, and what they leave running.

use std::pin::pin;

use futures_util::FutureExt as _;
use futures_util::TryStreamExt as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::body::{ANY, Body, GUARDED, Left, WHOLE, code, run};
use crate::given::Given;
use crate::haunt::Haunt;
use crate::view::types;

/// A body from an async block that ends its test by itself.
macro_rules! ending {
    (|$given:pat_param| $body:block) => {{
        fn end($given: Given) -> crate::body::Ending {
            Box::pin(async move { $body })
        }
        end
    }};
}

const WRITE: &str = "insert into notes values (1, 'one'); select set_config('app.tenant', '1', true), setseed(0.42)";

pub(super) const BODIES: &[Body] = &[
    code(
        "dropped without a word",
        ANY,
        ending!(|mut given| {
            write(&mut given).await;
            drop(given);
            Left::dropped()
        }),
    ),
    code(
        "a panic",
        ANY,
        ending!(|mut given| {
            let ended = tokio::spawn(async move {
                write(&mut given).await;
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            assert!(ended.await.is_err());
            Left::dropped()
        }),
    ),
    code(
        "a future dropped in the middle of a statement",
        ANY,
        ending!(|mut given| {
            if let Ok(mut session) = given.session().await {
                let mut slow = pin!(run(
                    session.get(),
                    "insert into notes select 1, 'late' from pg_sleep(600)"
                ));
                // Far enough to have sent it.
                for _ in 0..5 {
                    let _ = (&mut slow).now_or_never();
                    tokio::task::yield_now().await;
                }
            }
            Left::closed(given.close().await)
        }),
    )
    .slow(),
    code(
        "a whole test dropped in the middle",
        ANY,
        ending!(|mut given| {
            let task = tokio::spawn(async move {
                write(&mut given).await;
                if let Ok(mut session) = given.session().await {
                    // It is aborted meanwhile.
                    let _ = run(
                        session.get(),
                        "insert into notes select 1, 'late' from pg_sleep(600)",
                    )
                    .await;
                }
            });
            tokio::task::yield_now().await;
            task.abort();
            // Cancelled.
            let _ = task.await;
            Left::dropped()
        }),
    )
    .slow(),
    code(
        "a statement cancelled from elsewhere",
        ANY,
        ending!(|mut given| {
            let options = given.options();
            if let (Ok(mut session), Ok(mut other)) = (
                given.session().await,
                PgConnection::connect_with(&options).await,
            ) {
                let cancel = async {
                    while run(
                    &mut other,
                    "do $$ begin perform pg_cancel_backend(pid) from pg_stat_activity where query like '%pg_sleep(601)%' \
                     and state = 'active' and pid <> pg_backend_pid(); if not found then raise 'not yet'; end if; end $$",
                )
                .await
                .is_err()
                {}
                };
                let (cancelled, ()) = tokio::join!(
                    run(
                        session.get(),
                        "insert into notes select 1, 'cancelled' from pg_sleep(601)"
                    ),
                    cancel
                );
                assert!(cancelled.is_err());
                // It may be gone.
                let _ = other.close().await;
            }
            Left::closed(given.close().await)
        }),
    ),
    code(
        "COPY left half done",
        ANY,
        ending!(|mut given| {
            if let Ok(mut session) = given.session().await
                && let Ok(mut copy) = session.get().copy_in_raw("copy notes (n) from stdin").await
            {
                // Dropped without an end.
                let _ = copy.send("1\n2\n3\n".as_bytes()).await;
            }
            Left::closed(given.close().await)
        }),
    ),
    code(
        "COPY of 20,000 rows",
        ANY,
        ending!(|mut given| {
            if let Ok(mut session) = given.session().await {
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
            Left::closed(given.close().await)
        }),
    ),
    code(
        "rows left unread",
        ANY,
        ending!(|mut given| {
            if let Ok(mut session) = given.session().await {
                let mut rows = sqlx::query("select generate_series(1, 20000)").fetch(session.get());
                assert!(rows.try_next().await.is_ok());
            }
            Left::closed(given.close().await)
        }),
    ),
    code(
        "a COPY left unread",
        ANY,
        ending!(|mut given| {
            if let Ok(mut session) = given.session().await {
                let mut rows = session
                    .get()
                    .copy_out_raw("copy (select generate_series(1, 20000)) to stdout")
                    .await
                    .unwrap();
                assert!(rows.try_next().await.is_ok());
            }
            Left::closed(given.close().await)
        }),
    ),
    code(
        "a transaction forgotten",
        ANY,
        ending!(|mut given| {
            if let Ok(mut session) = given.session().await {
                let mut transaction = session.get().begin().await.unwrap();
                run(&mut transaction, WRITE).await.unwrap();
                std::mem::forget(transaction);
            }
            Left::closed(given.close().await)
        }),
    ),
    code(
        "a type that the driver remembers",
        ANY,
        ending!(|mut given| {
            if let Ok(mut session) = given.session().await {
                run(session.get(), "create type filler as enum ('a')")
                    .await
                    .unwrap();
                types(session.get()).await.unwrap();
            }
            Left::closed(given.close().await)
        }),
    ),
    code(
        "a pool kept and used later",
        WHOLE,
        ending!(|given| {
            let Given::Database(database) = &given else {
                unreachable!("it is played in a Database")
            };
            let pool = database.pool();
            let held = given_back(&pool).await;
            let closed = given.close().await;
            assert!(
                held && pool.acquire().await.is_err(),
                "the pool is closed with its test"
            );
            Left::closed(closed)
        }),
    ),
    code(
        "a connection held beyond the end",
        ANY,
        ending!(|given| {
            let pool = match &given {
                Given::Tx(_) => None,
                Given::Sandbox(sandbox) => Some(sqlx::PgPool::clone(sandbox)),
                Given::Database(database) => Some(database.pool()),
            };
            let held = match &pool {
                Some(pool) => pool.acquire().await.ok(),
                None => None,
            };
            let closed = given.close().await;
            if let Some(mut held) = held {
                // Its session is ended.
                let _ = run(
                    &mut held,
                    "begin read write; insert into notes values (1, 'late'); commit",
                )
                .await;
            }
            Left::closed(closed)
        }),
    )
    .slow(),
    code(
        "a connection taken out of the pool",
        ANY,
        ending!(|given| {
            let held = match &given {
                Given::Tx(_) => None,
                Given::Sandbox(sandbox) => Some(sandbox.acquire().await.unwrap().detach()),
                Given::Database(database) => {
                    Some(database.pool().acquire().await.unwrap().detach())
                }
            };
            let closed = given.close().await;
            if let Some(mut held) = held {
                // Its session is ended, or it belongs to no test's transaction.
                let _ = run(
                    &mut held,
                    "rollback; begin read write; insert into notes values (1, 'late'); commit",
                )
                .await;
            }
            Left::closed(closed)
        }),
    )
    .slow(),
    code(
        "a pool of the application's own",
        ANY,
        ending!(|given| {
            let pool = crate::view::lazily(given.options());
            if let Ok(mut connection) = pool.acquire().await {
                // Not allowed everywhere.
                let _ = run(
                    &mut connection,
                    "begin read write; insert into notes values (1, 'one'); commit",
                )
                .await;
            }
            let closed = given.close().await;
            if let Ok(mut connection) = pool.acquire().await {
                // The pool connects again where its session was ended.
                let _ = run(
                    &mut connection,
                    "begin read write; insert into notes values (2, 'two'); commit",
                )
                .await;
                Left {
                    connections: vec![connection.detach()],
                    ..Left::closed(closed)
                }
            } else {
                Left::closed(closed)
            }
        }),
    ),
    code(
        "its URL used after the end",
        ANY,
        ending!(|given| {
            let options = given.options().application_name("hostile and late");
            let closed = given.close().await;
            let mut left = Left::closed(closed);
            // A stale URL leads nowhere.
            if let Ok(mut late) = PgConnection::connect_with(&options).await {
                let late_write = "begin read write; insert into notes values (-1, 'late'); commit; listen tides; \
                              select pg_advisory_lock(9)";
                // Where the server takes it, the next test finds it.
                let _ = run(&mut late, late_write).await;
                left.connections.push(late);
            }
            left
        }),
    ),
    code(
        "a thread that reconnects for ever",
        ANY,
        ending!(|given| {
            let options = given.options();
            let haunt = tokio::task::spawn_blocking(move || Haunt::begin(options))
                .await
                .unwrap();
            let closed = given.close().await;
            Left {
                haunt: Some(haunt),
                ..Left::closed(closed)
            }
        }),
    ),
    code(
        "two tests at once",
        GUARDED,
        ending!(|mut given| {
            write(&mut given).await;
            let options = given.options();
            let other = PgConnection::connect_with(&options).await;
            Left {
                connections: other.into_iter().collect(),
                ..Left::closed(given.close().await)
            }
        }),
    ),
];

async fn write(given: &mut Given) {
    if let Ok(mut session) = given.session().await {
        run(session.get(), WRITE).await.unwrap();
    }
}

async fn given_back(pool: &sqlx::PgPool) -> bool {
    pool.acquire().await.is_ok()
}
