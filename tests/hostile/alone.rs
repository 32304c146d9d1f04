//! Every body by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bodies;
use crate::body::{Act, Body};
use crate::given::Kind;
use crate::support::{here, natively};
use crate::world::{Finding, Setup, World};

/// Beyond this a body stands still.
const STANDSTILL: Duration = Duration::from_secs(90);

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
                    let (closed, findings) = one(&world, body, kind, next).await;
                    if began.elapsed() > Duration::from_secs(3) {
                        println!("{:?} for {} in {kind}, then {next}", began.elapsed(), body.name);
                    }
                    if findings.iter().any(|finding| is_of_the_server(&finding.part)) {
                        drop(world);
                        world = World::new(setup).await;
                    }
                    if !findings.is_empty() {
                        leaks.push(Leak { body: body.name, kind, next, closed, findings });
                    }
                }
            }
        }
    }
    println!("{played} bodies played; this server lacks what {} need: {missing:?}", missing.len());
    assert!(leaks.is_empty(), "{}", table(&leaks));
}

async fn one(world: &World, body: &Body, kind: Kind, next: Kind) -> (String, Vec<Finding>) {
    let playing = async {
        world.renew().await;
        match world.play(body, kind).await {
            Err(error) => (String::new(), vec![Finding { part: "the test itself does not open".into(), difference: format!("{error}") }]),
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

/// One row for each body, and under it what differs, shortened.
fn table(leaks: &[Leak]) -> String {
    let mut bodies: BTreeMap<&str, usize> = BTreeMap::new();
    for leak in leaks {
        *bodies.entry(leak.body).or_default() += 1;
    }
    let mut text = format!("{} bodies leak, in {} plays\n", bodies.len(), leaks.len());
    for leak in leaks {
        let parts: Vec<&str> = leak.findings.iter().map(|finding| finding.part.as_str()).collect();
        text += &format!("\n{} | {} -> {} | {} | {}\n", leak.body, leak.kind, leak.next, leak.closed, parts.join(", "));
        for finding in &leak.findings {
            for line in finding.difference.lines().take(4) {
                let short: String = line.chars().take(180).collect();
                text += &format!("    {}: {short}\n", finding.part);
            }
        }
    }
    text
}

#[test]
fn there_are_at_least_sixty_bodies_and_no_two_have_one_name() {
    let all = bodies::all();
    let names: std::collections::BTreeSet<&str> = all.iter().map(|body| body.name).collect();
    assert!(all.len() >= 60, "{}", all.len());
    assert_eq!(names.len(), all.len());
    assert!(all.iter().any(|body| matches!(body.act, Act::Code(_))));
}
