//! Every body by itself.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use crate::bodies;
use crate::body::{Act, Body};
use crate::given::Kind;
use crate::support::{here, natively};
use crate::world::{Finding, Setup, World, describe};

/// Beyond this a body stands still.
pub(crate) const STANDSTILL: Duration = Duration::from_secs(20);
/// The one body of which every line is to be refused.
const REFUSED: &str = "replication slots on a server without them";
/// As much of a difference is shown.
const SHOWN_LINES: usize = 4;
const SHOWN_WIDTH: usize = 180;

/// What a body left in the way of the next test.
struct Leak {
    body: &'static str,
    kind: Kind,
    next: Kind,
    closed: String,
    findings: Vec<Finding>,
}

/// Which bodies are played, and how. `EBBTIDE_REFUSED` prints which of their lines the server refuses.
enum Wanted {
    /// Each once: every second one in a `Tx`, whose session the next one gets, and the others in another kind.
    Suite,
    /// `EBBTIDE_BODY`: those with this in their name, in each of their kinds.
    Named(String),
}

impl Wanted {
    fn from_environment() -> Self {
        std::env::var("EBBTIDE_BODY").map_or(Self::Suite, Self::Named)
    }

    /// The kinds of a body's tests, each with that of the next test.
    fn plays(&self, number: usize, body: &Body) -> Vec<(Kind, Kind)> {
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
            // All of them.
            Self::Named(name) if name.is_empty() => session
                .chain(
                    body.kinds
                        .iter()
                        .enumerate()
                        .map(|(at, kind)| (*kind, next(at))),
                )
                .collect(),
            // Few, and so in every way.
            Self::Named(_) => body
                .kinds
                .iter()
                .flat_map(|kind| Kind::ALL.map(|next| (*kind, next)))
                .collect(),
        }
    }
}

/// What came of all bodies.
#[derive(Default)]
struct Outcome {
    plays: usize,
    leaks: Vec<Leak>,
    /// The server lacks what they need.
    missing: Vec<&'static str>,
    /// Every line was refused.
    harmless: Vec<&'static str>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_test_alone_leaves_nothing_to_the_next() {
    if !natively(here!()) {
        return;
    }
    let wanted = Wanted::from_environment();
    let began = Instant::now();
    let mut outcome = Outcome::default();
    for setup in Setup::ALL {
        play_all(setup, &wanted, &mut outcome).await;
    }
    let Outcome {
        plays,
        leaks,
        missing,
        harmless,
    } = outcome;
    println!(
        "{plays} plays in {:?}; this server lacks what {} bodies need: {missing:?}",
        began.elapsed(),
        missing.len()
    );
    assert!(leaks.is_empty(), "{}", table(&leaks));
    assert!(
        harmless.is_empty(),
        "every line of these is refused: {harmless:?}"
    );
}

async fn play_all(setup: Setup, wanted: &Wanted, outcome: &mut Outcome) {
    let mut world = None;
    for (number, body) in bodies::all()
        .into_iter()
        .enumerate()
        .filter(|(_, body)| body.setup() == setup)
    {
        let mut plays = VecDeque::from(wanted.plays(number, body));
        if plays.is_empty() {
            continue;
        }
        let mut untried = body.kinds.to_vec();
        let here = match &mut world {
            Some(world) => world,
            None => world.insert(World::new(setup).await),
        };
        if !here.has(body) {
            outcome.missing.push(body.name);
            continue;
        }
        let mut does_something = false;
        while let Some((kind, next)) = plays.pop_front() {
            outcome.plays += 1;
            untried.retain(|other| *other != kind);
            let mut leak = Leak {
                body: body.name,
                kind,
                next,
                closed: String::new(),
                findings: Vec::new(),
            };
            does_something |= leak.look_for(&mut world, body).await;
            if plays.is_empty() && !does_something {
                plays.extend(untried.pop().map(|other| (other, other)));
            }
            if leak.findings.is_empty() {
                // The next body finds what a new copy shows: there is no need of one.
                continue;
            }
            println!("{leak}");
            let is_of_the_server = leak
                .findings
                .iter()
                .any(|finding| is_of_the_server(&finding.part));
            outcome.leaks.push(leak);
            if let Some(leaking) = &world
                && (is_of_the_server || !leaking.renew().await)
            {
                world = None;
            }
        }
        if !does_something && body.name != REFUSED {
            outcome.harmless.push(body.name);
        }
    }
}

impl Leak {
    /// Plays the body. Returns whether something of its script was accepted.
    async fn look_for(&mut self, world: &mut Option<World>, body: &Body) -> bool {
        let world = match world {
            Some(world) => world,
            None => world.insert(World::new(body.setup()).await),
        };
        if let Ok(does_something) = tokio::time::timeout(STANDSTILL, self.play(world, body)).await {
            return does_something;
        }
        self.found(
            "the next test does not open",
            format!("not within {STANDSTILL:?}"),
        );
        true
    }

    async fn play(&mut self, world: &World, body: &Body) -> bool {
        let played = match world.play(body, self.kind).await {
            Ok(played) => played,
            Err(error) => {
                self.found("the test itself does not open", describe(&error));
                return true;
            }
        };
        self.closed = match &played.left.closed {
            None => "dropped".to_owned(),
            Some(Ok(())) => "closed".to_owned(),
            Some(Err(error)) => format!("{:?}", error.kind()),
        };
        if std::env::var_os("EBBTIDE_REFUSED").is_some() {
            println!(
                "refused in {} in a {}: {:?}",
                body.name, self.kind, played.left.refused
            );
        }
        self.findings.extend(world.look(self.next, &played).await);
        played.left.refused.is_some()
    }

    fn found(&mut self, part: &str, difference: String) {
        self.findings.push(Finding {
            part: part.to_owned(),
            difference,
        });
    }
}

/// Whether what is left may hinder every later body as well.
fn is_of_the_server(part: &str) -> bool {
    part == "server" || part.starts_with("the ")
}

/// One row for each body, and under it what differs.
fn table(leaks: &[Leak]) -> String {
    let bodies: BTreeSet<&str> = leaks.iter().map(|leak| leak.body).collect();
    let rows: Vec<String> = leaks.iter().map(Leak::to_string).collect();
    format!(
        "{} bodies leak, in {} plays\n{}",
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
            for line in finding.difference.lines().take(SHOWN_LINES) {
                let shown: String = line.chars().take(SHOWN_WIDTH).collect();
                write!(f, "\n    {}: {shown}", finding.part)?;
            }
        }
        Ok(())
    }
}

#[test]
fn there_are_at_least_sixty_bodies_and_no_two_have_one_name() {
    let all = bodies::all();
    let names: BTreeSet<&str> = all.iter().map(|body| body.name).collect();
    assert!(all.len() >= 60, "{}", all.len());
    assert_eq!(names.len(), all.len());
    assert!(all.iter().any(|body| matches!(body.act, Act::Code(_))));
}
