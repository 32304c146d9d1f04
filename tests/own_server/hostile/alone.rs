//! Runs every body by itself, and compares what the next test finds with a new copy.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use crate::hostile::bodies;
use crate::hostile::body::{Action, Body};
use crate::hostile::test_database::Kind;
use crate::hostile::test_server::{Finding, ServerKind, TestServer, describe};
use crate::support::{runs_natively, this_test};

/// A body and the inspection of the next test must end within this time.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// The only body of which the server must refuse every line.
const ALL_REFUSED_BODY: &str = "replication slots on a server without them";
/// How much of a difference a failure prints.
const MAX_SHOWN_LINES: usize = 4;
const MAX_SHOWN_CHARS: usize = 180;

/// What a body left behind for the next test.
struct Leak {
    body: &'static str,
    kind: Kind,
    next: Kind,
    /// How the body's test ended.
    closed: String,
    findings: Vec<Finding>,
}

/// Which bodies run, and in which kinds. With `EBBTIDE_REFUSED` set, the test also prints the lines
/// that the server refuses.
enum Selection {
    /// Every body once. Every second body runs in a `Tx`, and the next test is a `Tx` that can
    /// reuse its session. The others run in another kind.
    Suite,
    /// The bodies whose name contains the value of `EBBTIDE_BODY`, in each of their kinds.
    Named(String),
}

impl Selection {
    fn from_environment() -> Self {
        std::env::var("EBBTIDE_BODY").map_or(Self::Suite, Self::Named)
    }

    /// The kinds of the body's tests, each with the kind of the next test.
    fn runs(&self, number: usize, body: &Body) -> Vec<(Kind, Kind)> {
        let next = |at: usize| Kind::ALL[(number + at) % Kind::ALL.len()];
        let (own, others): (Vec<Kind>, Vec<Kind>) =
            body.kinds.iter().partition(|kind| **kind == Kind::Tx);
        let has_own = !own.is_empty();
        let session = own.into_iter().map(|kind| (kind, kind));
        match self {
            Self::Suite if others.is_empty() || (number.is_multiple_of(2) && has_own) => {
                session.collect()
            }
            Self::Suite => vec![(others[number / 2 % others.len()], next(0))],
            Self::Named(name) if !body.name.contains(name.as_str()) => Vec::new(),
            // The empty name selects all bodies: each kind once, and a `Tx` followed by a `Tx`.
            Self::Named(name) if name.is_empty() => session
                .chain(
                    body.kinds
                        .iter()
                        .enumerate()
                        .map(|(at, kind)| (*kind, next(at))),
                )
                .collect(),
            // A name selects few bodies, so every pair of kinds is affordable.
            Self::Named(_) => body
                .kinds
                .iter()
                .flat_map(|kind| Kind::ALL.map(|next| (*kind, next)))
                .collect(),
        }
    }
}

/// The totals of all bodies.
#[derive(Default)]
struct Totals {
    runs: usize,
    leaks: Vec<Leak>,
    /// Bodies that need something which this server lacks.
    missing: Vec<&'static str>,
    /// Bodies of which the server refused every line.
    refused: Vec<&'static str>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_body_alone_leaves_nothing_for_the_next_test() {
    if !runs_natively(this_test!()) {
        return;
    }
    let selection = Selection::from_environment();
    let started_at = Instant::now();
    let mut totals = Totals::default();
    for server_kind in ServerKind::ALL {
        run_all(server_kind, &selection, &mut totals).await;
    }
    let Totals {
        runs,
        leaks,
        missing,
        refused,
    } = totals;
    println!(
        "{runs} runs in {:?}; {} bodies need what this server lacks: {missing:?}",
        started_at.elapsed(),
        missing.len()
    );
    assert!(leaks.is_empty(), "{}", table(&leaks));
    assert!(
        refused.is_empty(),
        "the server refuses every line of these bodies: {refused:?}"
    );
}

/// Runs the selected bodies of one kind of server, one after another on the same server.
///
/// A leak ends with a new copy of every lane, so that the next body does not find it again. A leak
/// into the server itself, or a lane that cannot be invalidated, ends with a new server.
async fn run_all(server_kind: ServerKind, selection: &Selection, totals: &mut Totals) {
    let mut server = None;
    for (number, body) in bodies::all()
        .into_iter()
        .enumerate()
        .filter(|(_, body)| body.server_kind() == server_kind)
    {
        let mut runs = VecDeque::from(selection.runs(number, body));
        if runs.is_empty() {
            continue;
        }
        let mut untried = body.kinds.to_vec();
        let current = match &mut server {
            Some(server) => server,
            None => server.insert(TestServer::new(server_kind).await),
        };
        if !current.supports(body) {
            totals.missing.push(body.name);
            continue;
        }
        let mut does_something = false;
        while let Some((kind, next)) = runs.pop_front() {
            totals.runs += 1;
            untried.retain(|other| *other != kind);
            let mut leak = Leak {
                body: body.name,
                kind,
                next,
                closed: String::new(),
                findings: Vec::new(),
            };
            does_something |= leak.run_with_timeout(&mut server, body).await;
            // The server may refuse every line in one kind of test and accept some in another.
            if runs.is_empty() && !does_something {
                runs.extend(untried.pop().map(|other| (other, other)));
            }
            if leak.findings.is_empty() {
                // The lane is equal to a new copy, so the next body can use it.
                continue;
            }
            println!("{leak}");
            let affects_server = leak
                .findings
                .iter()
                .any(|finding| affects_server(&finding.part));
            totals.leaks.push(leak);
            if let Some(leaking) = &server
                && (affects_server || !leaking.invalidate_lanes().await)
            {
                server = None;
            }
        }
        if !does_something && body.name != ALL_REFUSED_BODY {
            totals.refused.push(body.name);
        }
    }
}

impl Leak {
    /// Runs the body and inspects the next test. Returns whether the server accepted any line.
    async fn run_with_timeout(&mut self, server: &mut Option<TestServer>, body: &Body) -> bool {
        let server = match server {
            Some(server) => server,
            None => server.insert(TestServer::new(body.server_kind()).await),
        };
        if let Ok(does_something) =
            tokio::time::timeout(BODY_TIMEOUT, self.run_body(server, body)).await
        {
            return does_something;
        }
        self.add_finding(
            "the next test does not open",
            format!("not within {BODY_TIMEOUT:?}"),
        );
        true
    }

    async fn run_body(&mut self, server: &TestServer, body: &Body) -> bool {
        let completed = match server.run_body(body, self.kind).await {
            Ok(completed) => completed,
            Err(error) => {
                self.add_finding("the test itself does not open", describe(&error));
                return true;
            }
        };
        self.closed = match &completed.outcome.closed {
            None => "dropped".to_owned(),
            Some(Ok(())) => "closed".to_owned(),
            Some(Err(error)) => format!("{:?}", error.kind()),
        };
        if std::env::var_os("EBBTIDE_REFUSED").is_some() {
            println!(
                "refused in {} in a {}: {:?}",
                body.name, self.kind, completed.outcome.refused
            );
        }
        self.findings
            .extend(server.inspect_next(self.next, &completed).await);
        completed.outcome.refused.is_some()
    }

    fn add_finding(&mut self, part: &str, difference: String) {
        self.findings.push(Finding {
            part: part.to_owned(),
            difference,
        });
    }
}

/// Whether a finding in this part can affect every later body on the same server.
fn affects_server(part: &str) -> bool {
    part == "server" || part.starts_with("the ")
}

/// One row for each leak, with its differences below it.
fn table(leaks: &[Leak]) -> String {
    let bodies: BTreeSet<&str> = leaks.iter().map(|leak| leak.body).collect();
    let rows: Vec<String> = leaks.iter().map(Leak::to_string).collect();
    format!(
        "{} bodies leak, in {} runs\n{}",
        bodies.len(),
        leaks.len(),
        rows.join("\n")
    )
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self
            .findings
            .iter()
            .map(|finding| finding.part.as_str())
            .collect();
        write!(
            f,
            "{} | {} -> {} | {} | {}",
            self.body,
            self.kind,
            self.next,
            self.closed,
            parts.join(", ")
        )?;
        for finding in &self.findings {
            for line in finding.difference.lines().take(MAX_SHOWN_LINES) {
                let shown: String = line.chars().take(MAX_SHOWN_CHARS).collect();
                write!(f, "\n    {}: {shown}", finding.part)?;
            }
        }
        Ok(())
    }
}

#[test]
fn there_are_at_least_sixty_bodies_with_unique_names() {
    let all = bodies::all();
    let names: BTreeSet<&str> = all.iter().map(|body| body.name).collect();
    assert!(all.len() >= 60, "{}", all.len());
    assert_eq!(names.len(), all.len());
    assert!(
        all.iter()
            .any(|body| matches!(body.action, Action::Code(_)))
    );
}
