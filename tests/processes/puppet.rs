//! A process that does what it is told: one order a line on its standard input, one answer a line on its output.

use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use ebbtide::{Builder, Tx};
use rustix::process::{Pid, Signal, getpid, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::Runtime;

use super::support::wait_until;

/// Set for a puppet, so that the test of its name does something.
const STRINGS: &str = "PUPPET_OF_EBBTIDE";
/// Begins an answer, among the lines that the test runner prints.
const MARK: &str = "puppet: ";
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The exit code of a puppet that failed at what it was to do before its end.
const FAILED_BEFORE: i32 = 70;

/// The parent's end of a puppet. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Puppet {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: PathBuf,
}

impl Puppet {
    /// Starts a puppet whose environment is prepared; what it prints for people goes to `errors`.
    pub(crate) fn start(environment: impl FnOnce(&mut Command), errors: PathBuf) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "puppet::a_puppet_does_what_it_is_told",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(STRINGS, "pulled").env_remove("RUST_BACKTRACE");
        environment(&mut command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).unwrap());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        // Ends with the puppet, which nothing else holds the output of.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, answer)) = line.split_once(MARK)
                    && sender.send(answer.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Self {
            orders: child.stdin.take(),
            child,
            answers,
            errors,
        }
    }

    /// Gives an order. Nobody minds when the puppet is gone: the answer will be missing.
    pub(crate) fn tell(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("only `end` takes them");
        // A closed pipe shows in the answer.
        let _ = writeln!(orders, "{order}");
    }

    /// The answer to the order before, or what went wrong.
    pub(crate) fn answer(&self) -> Result<String, String> {
        let said = || std::fs::read_to_string(&self.errors).unwrap_or_default();
        let line = self
            .answers
            .recv_timeout(ANSWER_TIMEOUT)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    format!("no answer after {ANSWER_TIMEOUT:?}: {}", said())
                }
                RecvTimeoutError::Disconnected => format!("the puppet has ended: {}", said()),
            })?;
        match line.split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            _ => Err(line),
        }
    }

    /// The answer to an order that must succeed.
    #[track_caller]
    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
            .unwrap_or_else(|error| panic!("{order}: {error}"))
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for its end, which an order or a signal brought about, or the end of its orders does.
    pub(crate) fn end(self) -> ExitStatus {
        self.end_while(|| {})
    }

    /// The same, doing something again and again meanwhile.
    pub(crate) fn end_while(mut self, mut look: impl FnMut()) -> ExitStatus {
        self.orders = None;
        let mut status = None;
        wait_until("the puppet has ended", || {
            look();
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

/// Sixteen puppets at once, of which one starts the server and one builds the template, and all see it empty.
pub(crate) fn sixteen_at_once(puppet: impl FnMut() -> Puppet) -> Vec<Puppet> {
    let mut puppets: Vec<Puppet> = std::iter::repeat_with(puppet).take(16).collect();
    for puppet in &mut puppets {
        for order in [
            "start",
            "provision",
            "open",
            "query select count(*)::text from things",
        ] {
            puppet.tell(order);
        }
    }
    let mut answers: Vec<Vec<String>> = Vec::new();
    for puppet in &puppets {
        answers.push((0..4).map(|_| puppet.answer().unwrap()).collect());
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
    puppets
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The puppet's end. Does nothing when it is run as a test among others.
#[test]
fn a_puppet_does_what_it_is_told() {
    if std::env::var_os(STRINGS).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut tx = None;
    for order in std::io::stdin().lines() {
        let order = order.unwrap();
        let (verb, object) = order.split_once(' ').unwrap_or((&order, ""));
        match verb {
            "return" => return,
            "panic" => panic!("as I was told"),
            "abort" => std::process::abort(),
            "doomed" => return doomed(&runtime, object),
            _ => match runtime.block_on(obey(&mut tx, verb, object)) {
                // The runner has begun a line of its own.
                Ok(answer) => println!("\n{MARK}ok {answer}"),
                Err(error) => println!("\n{MARK}{}", format!("{error:?}").replace('\n', " | ")),
            },
        }
    }
}

/// Uses the server from its start on and ends after so many milliseconds, wherever it is then.
#[expect(
    clippy::print_stderr,
    reason = "it is kept for whoever asks why the test failed"
)]
fn doomed(runtime: &Runtime, object: &str) {
    let (ending, moment) = object.split_once(' ').expect("an ending and a moment");
    let moment = Duration::from_millis(moment.parse().unwrap());
    let end: Option<fn()> = match ending {
        "kill" => Some(|| kill_process(getpid(), Signal::KILL).unwrap()),
        "interrupt" => Some(|| kill_process(getpid(), Signal::INT).unwrap()),
        "abort" => Some(|| std::process::abort()),
        _ => None,
    };
    let limit = if end.is_some() {
        ANSWER_TIMEOUT
    } else {
        moment
    };
    std::thread::spawn(move || {
        std::thread::sleep(moment);
        if let Some(end) = end {
            end();
        }
    });
    let used = runtime.block_on(async { tokio::time::timeout(limit, use_it()).await });
    if let Ok(Err(error)) = used {
        eprintln!("{error:?}");
        std::process::exit(FAILED_BEFORE);
    }
    assert_ne!(ending, "panic", "as I was told");
}

/// One test after the other, each of which writes something.
async fn use_it() -> Result<Infallible, Box<dyn Error>> {
    loop {
        let mut tx = ebbtide::tx().await?;
        sqlx::query("insert into things (name) values ('the one')")
            .execute(&mut *tx)
            .await?;
        tx.close().await?;
    }
}

async fn obey(tx: &mut Option<Tx>, verb: &str, object: &str) -> Result<String, Box<dyn Error>> {
    const CLOSED: &str = "no transaction is open";
    let done = || Ok(String::new());
    match verb {
        "wait" => done(),
        "start" => Ok(if ebbtide::harness()?.start().await?.reused {
            "reused"
        } else {
            "started"
        }
        .into()),
        "provision" => Ok(if ebbtide::harness()?.provision().await?.reused {
            "reused"
        } else {
            "built"
        }
        .into()),
        "open" => {
            *tx = Some(ebbtide::tx().await?);
            done()
        }
        "run" => {
            sqlx::raw_sql(AssertSqlSafe(object))
                .execute(&mut **tx.as_mut().ok_or(CLOSED)?)
                .await?;
            done()
        }
        "query" => Ok(sqlx::query_scalar(AssertSqlSafe(object))
            .fetch_one(&mut **tx.as_mut().ok_or(CLOSED)?)
            .await?),
        "close" => {
            tx.take().ok_or(CLOSED)?.close().await?;
            done()
        }
        "keep" => Ok(tx.take().ok_or(CLOSED)?.keep().await?.url().to_owned()),
        "read" => {
            let (url, sql) = object.split_once(' ').expect("a URL and a query");
            let mut connection = PgConnection::connect(url).await?;
            Ok(sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut connection)
                .await?)
        }
        "transactions" => transactions(object.parse()?).await,
        "joins" => joins(object.parse()?).await,
        other => Err(format!("nobody taught me to {other}").into()),
    }
}

/// Transactions that fail when anybody else is on the same database. Every other one is dropped, not closed.
async fn transactions(count: u32) -> Result<String, Box<dyn Error>> {
    for number in 0..count {
        let mut tx = ebbtide::tx().await?;
        let alone: bool = sqlx::query_scalar("select pg_try_advisory_lock(4711)")
            .fetch_one(&mut *tx)
            .await?;
        if !alone {
            return Err(format!("somebody else holds the lock of {}", tx.url()).into());
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

/// Joins the server and leaves it again, as many processes one after the other would. The answer counts the starts.
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
        // The moments without a user, at which a server retires.
        tokio::time::sleep(Duration::from_millis(u64::from(number * 7 % 60))).await;
    }
    Ok(started.to_string())
}
