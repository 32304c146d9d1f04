//! What happens to a connection that a task or a thread still holds after the test's end.

use std::future::pending;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::PgPool;

use crate::child_process::{run_in_child, this_test};
use crate::support::{
    add, customers, nothing_is_left, panic_message, session, sessions, wait_until_gone,
};

/// A condition on `pg_stat_activity`: the session with this process id.
const WITH_PID: &str = "pid::text = $1";

#[test]
fn a_session_that_a_task_still_holds_is_reported_and_ended() {
    static LEAKED: Mutex<i32> = Mutex::new(0);
    #[ebbtide::test(flavor = "multi_thread", worker_threads = 1)]
    async fn subject(pool: PgPool, mut tx: Tx) {
        let mut connection = pool.acquire().await.unwrap();
        add(&mut *connection, "Laura").await;
        let pid = session(&mut *connection).await;
        assert_eq!(sessions(&mut tx, WITH_PID, &pid.to_string()).await, 1);
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
        wait_until_gone(WITH_PID, &pid.to_string());
        nothing_is_left();
    };
    let Some(output) = run_in_child(this_test!(), part) else {
        return;
    };
    output.assert_passed().assert_contains(
        "ebbtide: test leaks::subject is over, and something that it started still uses \
         its pool: ebbtide ends these sessions now (end or await the task that holds them)",
    );
}

/// Starts a thread with its own runtime that holds a connection, and uses it after a signal.
///
/// Returns the receiver of the session's process id, the sender of the signal, and the thread.
fn hold(
    pool: PgPool,
) -> (
    Receiver<i32>,
    Sender<()>,
    JoinHandle<Result<i32, sqlx::Error>>,
) {
    let ((send_pid, pid), (send_signal, signal)) = (channel(), channel());
    let thread = std::thread::spawn(move || {
        let own = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        own.block_on(async {
            let mut connection = pool.acquire().await?;
            send_pid.send(session(&mut *connection).await).unwrap();
            signal.recv().unwrap();
            sqlx::query_scalar("select 1")
                .fetch_one(&mut *connection)
                .await
        })
    });
    (pid, send_signal, thread)
}

/// A session's process id, with the signal and the thread of [`hold`].
type Held = Mutex<Option<(i32, Sender<()>, JoinHandle<Result<i32, sqlx::Error>>)>>;

/// Waits until the server has ended a session, and asserts that the thread's next statement fails.
fn assert_ended(held: &Held) {
    let (pid, send_signal, thread) = held.lock().unwrap().take().unwrap();
    wait_until_gone(WITH_PID, &pid.to_string());
    send_signal.send(()).unwrap();
    thread.join().unwrap().unwrap_err();
}

#[test]
fn a_database_connection_that_a_thread_still_holds_is_closed_after_the_test() {
    static HELD: Held = Mutex::new(None);
    #[ebbtide::test]
    async fn subject(database: Database) {
        let (pid, send_signal, thread) = hold(database.pool());
        *HELD.lock().unwrap() = Some((pid.recv().unwrap(), send_signal, thread));
    }
    subject();
    assert_ended(&HELD);
    nothing_is_left();
}

#[test]
fn a_sandbox_that_is_in_use_after_its_test_fails_the_test() {
    static HELD: Held = Mutex::new(None);
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox) {
        let (receiver, send_signal, thread) = hold(sandbox.clone());
        // Polls instead of blocking, so that tasks on the test's runtime can run.
        let pid = loop {
            if let Ok(pid) = receiver.try_recv() {
                break pid;
            }
            tokio::task::yield_now().await;
        };
        *HELD.lock().unwrap() = Some((pid, send_signal, thread));
    }
    let message = panic_message(subject);
    assert!(
        message.starts_with(
            "test leaks::subject is over, and something that it started still uses the sandbox's connection\n"
        ),
        "{message}"
    );
    assert_ended(&HELD);
    nothing_is_left();
}

#[test]
fn a_tx_that_a_static_still_holds_fails_the_test() {
    static HELD: Mutex<Option<Tx>> = Mutex::new(None);
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
        *HELD.lock().unwrap() = Some(tx);
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    output
        .assert_failed()
        .assert_contains(
            "test leaks::subject has ended, and its database is still held 5 s later\n",
        )
        .assert_contains("\n  help: look for a `Tx`, `Sandbox` or `Database` in a static");
    panic_message(subject);
    nothing_is_left();
    // The Tx is still usable. Its connection is closed when it is dropped.
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
        // The application's mistake: it uses the pool instead of the transaction.
        sqlx::query("insert into customers (name) values ('Marta')")
            .execute(&*sandbox)
            .await?;
        transaction.commit().await
    }
    let error = subject().unwrap_err();
    let error = error.as_database_error().unwrap();
    assert_eq!(error.code().unwrap(), "53400");
    assert!(
        error.message().contains(
            "or let the test take an `ebbtide::Database`, which allows several connections"
        ),
        "{error}"
    );
    nothing_is_left();
}
