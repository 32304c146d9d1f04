//! Every body by itself.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::bodies;
use crate::body::{Act, Body};
use crate::given::Kind;
use crate::support::{here, natively};
use crate::world::{Finding, Setup, World};

/// Beyond this a body stands still.
pub(crate) const STANDSTILL: Duration = Duration::from_secs(20);
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

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_test_alone_leaves_nothing_to_the_next() {
    if !natively(here!()) {
        return;
    }
    let wanted = std::env::var("EBBTIDE_BODY").ok();
    let (mut leaks, mut played, mut missing) = (Vec::new(), 0, Vec::new());
    for setup in Setup::ALL {
        let mut world = World::new(setup).await;
        for body in bodies::all().into_iter().filter(|body| body.setup() == setup) {
            if wanted.as_ref().is_some_and(|wanted| !body.name.contains(wanted.as_str())) {
                continue;
            }
            if !world.has(body) {
                missing.push(body.name);
                continue;
            }
            for (number, kind) in body.kinds.iter().copied().enumerate() {
                // All three in turn over the list; each of them for one body with `EBBTIDE_BODY`.
                let nexts = match wanted {
                    Some(_) => Kind::ALL.to_vec(),
                    None => vec![Kind::ALL[(played + number) % 3]],
                };
                for next in nexts {
                    played += 1;
                    let began = Instant::now();
                    let (closed, findings) = one(&mut world, body, kind, next).await;
                    if began.elapsed() > Duration::from_secs(2) {
                        println!("{:?} for {} in {kind}, then {next}", began.elapsed(), body.name);
                    }
                    if findings.iter().any(|finding| is_of_the_server(&finding.part)) {
                        drop(world);
                        world = World::new(setup).await;
                    }
                    if !findings.is_empty() {
                        let leak = Leak { body: body.name, kind, next, closed, findings };
                        println!("{leak}");
                        leaks.push(leak);
                    }
                }
            }
        }
    }
    println!("{played} bodies played; this server lacks what {} need: {missing:?}", missing.len());
    assert!(leaks.is_empty(), "{}", table(&leaks));
}

async fn one(world: &mut World, body: &Body, kind: Kind, next: Kind) -> (String, Vec<Finding>) {
    let playing = async {
        if !world.renew().await {
            *world = World::new(body.setup()).await;
        }
        match world.play(body, kind).await {
            Err(error) => (
                String::new(),
                vec![Finding { part: "the test itself does not open".into(), difference: format!("{error}") }],
            ),
            Ok(played) => {
                let findings = world.look(next, &played).await;
                let closed = match &played.left.closed {
                    None => "dropped".to_owned(),
                    Some(Ok(())) => "closed".to_owned(),
                    Some(Err(error)) => format!("{:?}", error.kind()),
                };
                (closed, findings)
            }
        }
    };
    tokio::time::timeout(STANDSTILL, playing).await.unwrap_or_else(|_| {
        let difference = format!("not within {STANDSTILL:?}");
        (String::new(), vec![Finding { part: "the next test does not open".into(), difference }])
    })
}

/// Whether what is left may hinder every later body as well.
fn is_of_the_server(part: &str) -> bool {
    part == "server" || part.starts_with("the ")
}

/// One row for each body, and under it what differs.
fn table(leaks: &[Leak]) -> String {
    let bodies: BTreeSet<&str> = leaks.iter().map(|leak| leak.body).collect();
    let rows: Vec<String> = leaks.iter().map(Leak::to_string).collect();
    format!("{} bodies leak, in {} plays\n{}", bodies.len(), leaks.len(), rows.join("\n"))
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.findings.iter().map(|finding| finding.part.as_str()).collect();
        write!(f, "{} | {} -> {} | {} | {}", self.body, self.kind, self.next, self.closed, parts.join(", "))?;
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
