//! What a test holds beyond its end.

use std::future::pending;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::PgPool;

use crate::again::{here, played};
use crate::support::{
    add, complaint, customers, nothing_is_left, session, sessions, wait_until_gone,
};

const SESSION: &str = "pid::text = $1";

#[test]
fn a_task_that_holds_a_connection_is_told_of_and_its_session_ended() {
    static LEAKED: Mutex<i32> = Mutex::new(0);
    #[ebbtide::test(flavor = "multi_thread", worker_threads = 1)]
    async fn subject(pool: PgPool, mut tx: Tx) {
        let mut connection = pool.acquire().await.unwrap();
        add(&mut *connection, "Laura").await;
        let pid = session(&mut *connection).await;
        assert_eq!(sessions(&mut tx, SESSION, &pid.to_string()).await, 1);
        *LEAKED.lock().unwrap() = pid;
        tokio::spawn(async move {
            pending::<()>().await;
            drop(connection);
        });
    }
    let part = || {
        subject();
        let pid = *LEAKED.lock().unwrap();
        assert_ne!(pid, 0);
        wait_until_gone(SESSION, &pid.to_string());
        nothing_is_left();
    };
    let Some(said) = played(here!(), part) else {
        return;
    };
    said.passed().tells(
        "ebbtide: test leaks::subject is over, and something that it started still uses its pool: these sessions are \
         ended now (end or await the task that holds them)",
    );
}

/// A thread with a runtime of its own, which holds a connection until it is told to use it.
fn hold(
    pool: PgPool,
) -> (
    Receiver<i32>,
    Sender<()>,
    JoinHandle<Result<i32, sqlx::Error>>,
) {
    let ((tell, told), (go, gone)) = (channel(), channel());
    let thread = std::thread::spawn(move || {
        let own = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        own.block_on(async {
            let mut connection = pool.acquire().await?;
            tell.send(session(&mut *connection).await).unwrap();
            gone.recv().unwrap();
            sqlx::query_scalar("select 1")
                .fetch_one(&mut *connection)
                .await
        })
    });
    (told, go, thread)
}

type Held = Mutex<Option<(i32, Sender<()>, JoinHandle<Result<i32, sqlx::Error>>)>>;

/// Waits until the session is gone that a thread still holds, and asserts that the thread is told so.
fn told(held: &Held) {
    let (pid, go, thread) = held.lock().unwrap().take().unwrap();
    wait_until_gone(SESSION, &pid.to_string());
    go.send(()).unwrap();
    thread.join().unwrap().unwrap_err();
}

#[test]
fn a_thread_that_holds_a_connection_of_a_database_cannot_use_it_any_more() {
    static HELD: Held = Mutex::new(None);
    #[ebbtide::test]
    async fn subject(database: Database) {
        let (told, go, thread) = hold(database.pool());
        *HELD.lock().unwrap() = Some((told.recv().unwrap(), go, thread));
    }
    subject();
    told(&HELD);
    nothing_is_left();
}

#[test]
fn a_sandbox_that_is_still_used_fails_the_test() {
    static HELD: Held = Mutex::new(None);
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox) {
        let (told, go, thread) = hold(sandbox.clone());
        let pid = loop {
            if let Ok(pid) = told.try_recv() {
                break pid;
            }
            tokio::task::yield_now().await;
        };
        *HELD.lock().unwrap() = Some((pid, go, thread));
    }
    let said = complaint(subject);
    assert!(
        said.starts_with(
            "test leaks::subject is over, and something that it started still uses the sandbox's connection\n"
        ),
        "{said}"
    );
    told(&HELD);
    nothing_is_left();
}

#[test]
fn a_transaction_in_a_static_fails_the_test() {
    static HELD: Mutex<Option<Tx>> = Mutex::new(None);
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
        *HELD.lock().unwrap() = Some(tx);
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    said.failed()
        .tells("test leaks::subject is over, and what it was lent is still held after 5 s\n")
        .tells("\n  help: look for a `Tx`, `Sandbox` or `Database` in a static");
    complaint(subject);
    nothing_is_left();
    // It is still usable, and what is left of it goes when it is dropped at last.
    let mut held = HELD.lock().unwrap().take().unwrap();
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    own.block_on(async {
        assert_eq!(customers(&mut *held).await, ["Laura"]);
        let pid = session(&mut *held).await;
        assert_ne!(pid, 0);
        drop(held);
    });
    nothing_is_left();
}

#[test]
fn a_second_connection_of_a_sandbox_is_refused_with_the_remedy() {
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox) -> sqlx::Result<()> {
        let mut transaction = sandbox.begin().await?;
        sqlx::query("insert into customers (name) values ('Laura')")
            .execute(&mut *transaction)
            .await?;
        // The application's mistake: the pool instead of the transaction.
        sqlx::query("insert into customers (name) values ('Marta')")
            .execute(&*sandbox)
            .await?;
        transaction.commit().await
    }
    let refused = subject().unwrap_err();
    let refused = refused.as_database_error().unwrap();
    assert_eq!(refused.code().unwrap(), "53400");
    assert!(
        refused
            .message()
            .contains("or let the test take an `ebbtide::Database`, which has many"),
        "{refused}"
    );
    nothing_is_left();
}
