//! A child process that uses ebbtide on command, as a user's test process would.
//!
//! Isolation between processes, and what a killed process leaves, can only be tested with real
//! processes. A worker is this test executable, started again for one of its tests. It reads one
//! command a line from its standard input, and prints one answer a line to its standard output:
//!
//! ```text
//!   parent                                        worker
//!   Worker::start  ---- spawn ----------------->  runs the test below, reads commands
//!   send           ---- "open" ---------------->  executes the command
//!   answer         <--- "worker: ok ..." -------  or "worker: REPORT OF THE ERROR"
//!   end            ---- closes the pipe ------->  the test returns, exit code 0
//!   interrupt      ---- SIGINT ---------------->  ends by the signal
//!   kill, drop     ---- SIGKILL --------------->  ends by the signal
//! ```
//!
//! The parent may send several commands before it reads the first answer, so that many workers
//! execute their commands at the same time.

use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use ebbtide::{Checkpoint, Database, Tx};

use ebbtide::config::Builder;
use rustix::process::{Pid, Signal, getpid, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::Runtime;

use crate::support::wait::HANG_LIMIT;
use crate::support::{current_thread_runtime, wait_until};

/// The environment variable that makes the test below a worker. The test does nothing without it.
const WORKER_VARIABLE: &str = "WORKER_OF_EBBTIDE";
/// Distinguishes an answer from the lines that the test runner prints.
const ANSWER_PREFIX: &str = "worker: ";
/// The exit code of a worker whose transactions fail before the moment at which it should end.
const EARLY_FAILURE_EXIT_CODE: i32 = 70;

/// The parent's handle of a worker. Dropping it kills the worker.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    stderr_file: PathBuf,
}

impl Worker {
    /// Starts a worker, after `environment` has set its variables. Its standard error goes to a
    /// file.
    pub(crate) fn start(environment: impl FnOnce(&mut Command), stderr_file: PathBuf) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "worker::a_worker_executes_the_commands_on_its_standard_input",
            "--nocapture",
            "--test-threads=1",
        ]);
        command
            .env(WORKER_VARIABLE, "1")
            .env_remove("RUST_BACKTRACE");
        environment(&mut command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&stderr_file).unwrap());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        // The thread ends with the worker: no other process inherits the worker's standard output,
        // so the pipe closes then.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, answer)) = line.split_once(ANSWER_PREFIX)
                    && sender.send(answer.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Self {
            commands: child.stdin.take(),
            child,
            answers,
            stderr_file,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the worker has printed to its standard error.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.stderr_file).unwrap()
    }

    /// Sends a command and does not wait for the answer.
    pub(crate) fn send(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("only `end` takes the pipe");
        // Writing fails if the worker has ended. `answer` reports that, with the worker's output.
        let _ = writeln!(commands, "{command}");
    }

    /// Waits for the answer to the oldest command that has none yet.
    ///
    /// # Errors
    /// The report of a failed command, or the worker's standard error if there is no answer.
    pub(crate) fn answer(&self) -> Result<String, String> {
        let stderr = || std::fs::read_to_string(&self.stderr_file).unwrap_or_default();
        let line = self
            .answers
            .recv_timeout(HANG_LIMIT)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    format!("no answer after {HANG_LIMIT:?}: {}", stderr())
                }
                RecvTimeoutError::Disconnected => format!("the worker has ended: {}", stderr()),
            })?;
        match line.split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            _ => Err(line),
        }
    }

    /// Sends a command that must succeed, and returns the answer.
    #[track_caller]
    pub(crate) fn execute(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Closes the pipe of commands, which ends an idle worker, and waits until the worker has
    /// ended.
    pub(crate) fn end(self) -> ExitStatus {
        self.end_while_polling(|| {})
    }

    /// Like [`end`](Self::end), and calls `poll` repeatedly until the worker has ended.
    pub(crate) fn end_while_polling(mut self, mut poll: impl FnMut()) -> ExitStatus {
        self.commands = None;
        let mut status = None;
        wait_until("the worker has ended", || {
            poll();
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

/// Starts sixteen workers that need the same server and template at the same time.
///
/// Asserts that exactly one of them starts the server, that exactly one builds the template, and
/// that each finds its lane empty.
pub(crate) fn sixteen_at_once(worker: impl FnMut() -> Worker) -> Vec<Worker> {
    let mut workers: Vec<Worker> = std::iter::repeat_with(worker).take(16).collect();
    for worker in &mut workers {
        for command in [
            "start",
            "provision",
            "open",
            "query select count(*)::text from things",
        ] {
            worker.send(command);
        }
    }
    let mut answers: Vec<Vec<String>> = Vec::new();
    for worker in &workers {
        answers.push((0..4).map(|_| worker.answer().unwrap()).collect());
    }
    assert_eq!(
        answers
            .iter()
            .filter(|answers| answers[0] == "started")
            .count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answers| answers[1] == "built")
            .count(),
        1,
        "{answers:?}"
    );
    assert!(
        answers.iter().all(|answers| answers[3] == "0"),
        "{answers:?}"
    );
    workers
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The worker may have ended already, so errors are expected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the worker has open. Statics are never dropped, so only the end of the process ends them.
static DATABASES: tokio::sync::Mutex<Vec<Database>> = tokio::sync::Mutex::const_new(Vec::new());
static CHECKPOINTS: tokio::sync::Mutex<Vec<Checkpoint>> = tokio::sync::Mutex::const_new(Vec::new());

/// The worker itself. As an ordinary test of this binary, it does nothing.
///
/// | command | what the worker does | answer |
/// |---|---|---|
/// | `wait` | nothing; the answer shows that the process is ready | |
/// | `start` | starts the server or joins it | `started`, `reused` |
/// | `provision` | builds the template or finds it | `built`, `reused` |
/// | `open` | opens a [`Tx`] | |
/// | `run SQL` | executes statements in the open `Tx` | |
/// | `query SQL` | executes a query in the open `Tx` | the first column of the first row |
/// | `database` | opens a [`Database`], which stays open | |
/// | `fork`, `checkpoint` | copies the first database, and keeps the copy | |
/// | `close`, `keep` | closes or keeps the open `Tx` | `keep`: the URL of the kept database |
/// | `read URL SQL` | executes a query in another database | the first column of the first row |
/// | `transactions COUNT` | see [`transactions`] | the count |
/// | `joins COUNT` | see [`joins`] | the number of servers that were started |
/// | `return`, `panic`, `abort` | ends the process in this way | none |
/// | `end ENDING MILLISECONDS` | see [`end_after`] | none |
#[test]
fn a_worker_executes_the_commands_on_its_standard_input() {
    if std::env::var_os(WORKER_VARIABLE).is_none() {
        return;
    }
    let runtime = current_thread_runtime();
    let mut tx = None;
    for command in std::io::stdin().lines() {
        let command = command.unwrap();
        let (verb, arguments) = command.split_once(' ').unwrap_or((&command, ""));
        match verb {
            "return" => return,
            "panic" => panic!("the parent requested a panic"),
            "abort" => std::process::abort(),
            "end" => return end_after(&runtime, arguments),
            _ => match runtime.block_on(execute(&mut tx, verb, arguments)) {
                // On a line of its own: the test runner has begun a line with the test's name.
                Ok(answer) => println!("\n{ANSWER_PREFIX}ok {answer}"),
                Err(error) => {
                    let report = format!("{error:?}").replace('\n', " | ");
                    println!("\n{ANSWER_PREFIX}{report}");
                }
            },
        }
    }
}

/// Runs transactions, beginning with the start of the server, and ends after a number of
/// milliseconds.
///
/// A second thread ends the process by a signal or by `abort`, so the runtime's thread may be at
/// any point. The other two endings need the runtime's thread: it drops the future of the
/// transactions when the time is over, and then panics or returns.
#[expect(
    clippy::print_stderr,
    reason = "the parent adds the worker's standard error to its own failure"
)]
fn end_after(runtime: &Runtime, arguments: &str) {
    let (ending, delay) = arguments
        .split_once(' ')
        .expect("an ending and a number of milliseconds");
    let delay = Duration::from_millis(delay.parse().unwrap());
    let end: Option<fn()> = match ending {
        "kill" => Some(|| kill_process(getpid(), Signal::KILL).unwrap()),
        "interrupt" => Some(|| kill_process(getpid(), Signal::INT).unwrap()),
        "abort" => Some(|| std::process::abort()),
        _ => None,
    };
    let limit = if end.is_some() { HANG_LIMIT } else { delay };
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        if let Some(end) = end {
            end();
        }
    });
    let result = runtime.block_on(async { tokio::time::timeout(limit, insert_forever()).await });
    if let Ok(Err(error)) = result {
        eprintln!("{error:?}");
        std::process::exit(EARLY_FAILURE_EXIT_CODE);
    }
    assert_ne!(ending, "panic", "the parent requested a panic");
}

/// Opens one [`Tx`] after the other, inserts a row in each, and returns only on an error.
async fn insert_forever() -> Result<Infallible, Box<dyn Error>> {
    loop {
        let mut tx = ebbtide::tx().await?;
        sqlx::query("insert into things (name) values ('the one')")
            .execute(&mut *tx)
            .await?;
        tx.close().await?;
    }
}

async fn execute(
    tx: &mut Option<Tx>,
    verb: &str,
    arguments: &str,
) -> Result<String, Box<dyn Error>> {
    const CLOSED: &str = "no transaction is open";
    let done = || Ok(String::new());
    match verb {
        "wait" => done(),
        "start" => Ok(if ebbtide::Harness::shared()?.start().await?.reused {
            "reused"
        } else {
            "started"
        }
        .into()),
        "provision" => Ok(if ebbtide::Harness::shared()?.provision().await?.reused {
            "reused"
        } else {
            "built"
        }
        .into()),
        "open" => {
            *tx = Some(ebbtide::tx().await?);
            done()
        }
        "database" => {
            let database = ebbtide::database().await?;
            DATABASES.lock().await.push(database);
            done()
        }
        "fork" => {
            let mut databases = DATABASES.lock().await;
            let fork = databases.first().ok_or(CLOSED)?.fork().await?;
            databases.push(fork);
            done()
        }
        "checkpoint" => {
            let databases = DATABASES.lock().await;
            let checkpoint = databases.first().ok_or(CLOSED)?.checkpoint().await?;
            CHECKPOINTS.lock().await.push(checkpoint);
            done()
        }
        "run" => {
            sqlx::raw_sql(AssertSqlSafe(arguments))
                .execute(&mut **tx.as_mut().ok_or(CLOSED)?)
                .await?;
            done()
        }
        "query" => Ok(sqlx::query_scalar(AssertSqlSafe(arguments))
            .fetch_one(&mut **tx.as_mut().ok_or(CLOSED)?)
            .await?),
        "close" => {
            tx.take().ok_or(CLOSED)?.close().await?;
            done()
        }
        "keep" => Ok(tx.take().ok_or(CLOSED)?.keep().await?.url),
        "read" => {
            let (url, sql) = arguments.split_once(' ').expect("a URL and a query");
            let mut connection = PgConnection::connect(url).await?;
            Ok(sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut connection)
                .await?)
        }
        "transactions" => transactions(arguments.parse()?).await,
        "joins" => joins(arguments.parse()?).await,
        other => Err(format!("unknown command: {other}").into()),
    }
}

/// Opens transactions one after the other, each of which must be alone in its database.
///
/// An advisory lock belongs to one session and one database, so taking it fails if another process
/// uses the same lane. Every second transaction is dropped and not closed, because both must
/// release the lane.
async fn transactions(count: u32) -> Result<String, Box<dyn Error>> {
    for number in 0..count {
        let mut tx = ebbtide::tx().await?;
        let alone: bool = sqlx::query_scalar("select pg_try_advisory_lock(4711)")
            .fetch_one(&mut *tx)
            .await?;
        if !alone {
            return Err(format!("another session uses the database {}", tx.url()).into());
        }
        sqlx::query("insert into things (name) values ('the one')")
            .execute(&mut *tx)
            .await?;
        if number % 2 == 0 {
            tx.close().await?;
        }
    }
    Ok(count.to_string())
}

/// Joins the server and leaves it, as many short processes would. Returns the number of servers
/// that were started.
async fn joins(count: u32) -> Result<String, Box<dyn Error>> {
    let mut started = 0;
    for number in 0..count {
        let harness = Builder::new().build()?;
        started += u32::from(!harness.start().await?.reused);
        let mut tx = harness.tx().await?;
        let name: String =
            sqlx::query_scalar("insert into things (name) values ('the one') returning name")
                .fetch_one(&mut *tx)
                .await?;
        assert_eq!(name, "the one");
        tx.close().await?;
        drop(harness);
        // A server retires while no process uses it. Different pauses make the next join meet
        // different steps of the retirement.
        tokio::time::sleep(Duration::from_millis(u64::from(number * 7 % 60))).await;
    }
    Ok(started.to_string())
}
