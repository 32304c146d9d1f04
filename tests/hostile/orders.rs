//! Bodies one after another, in random orders.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use crate::alone::STANDSTILL;
use crate::bodies;
use crate::body::{Body, Pace};
use crate::given::Kind;
use crate::support::random::Random;
use crate::support::{here, natively};
use crate::world::{Finding, Setup, World, describe};

const SEQUENCES: u64 = 60;
const LONGEST: usize = 5;

/// A body, its kind, and the kind of the test that looks after it.
#[derive(Clone, Copy)]
struct Step {
    body: &'static Body,
    kind: Kind,
    look: Option<Kind>,
}

struct Sequence {
    setup: Setup,
    steps: Vec<Step>,
}

impl Sequence {
    fn of(seed: u64) -> Self {
        let mut random = Random(seed);
        let setup = match random.below(6) {
            0 => Setup::Linked,
            1 => Setup::Replicating,
            _ => Setup::Plain,
        };
        let quick = bodies::all()
            .into_iter()
            .filter(|body| body.pace == Pace::Quick);
        let (common, own): (Vec<&Body>, Vec<&Body>) = quick
            .filter(|body| body.setup() == Setup::Plain || body.setup() == setup)
            .partition(|body| body.setup() == Setup::Plain);
        let length = 1 + random.below(LONGEST);
        let step = |number| {
            // Every second one where a world has bodies of its own.
            let body = if own.is_empty() || random.below(2) == 0 {
                random.one_of(&common)
            } else {
                random.one_of(&own)
            };
            let kind = random.one_of(body.kinds);
            let looks = number + 1 == length || random.below(2) == 0;
            Step {
                body,
                kind,
                look: looks.then(|| random.one_of(&Kind::ALL)),
            }
        };
        Self {
            setup,
            steps: (0..length).map(step).collect(),
        }
    }

    /// The first step after which the next test found something, and what. What is left goes on until the end.
    async fn play(&self, world: &World) -> Option<(usize, Vec<Finding>)> {
        let mut left = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            if !world.has(step.body) {
                continue;
            }
            match world.play(step.body, step.kind).await {
                Ok(played) => left.push(played),
                Err(error) => {
                    let part = "the test does not open".to_owned();
                    return Some((
                        number,
                        vec![Finding {
                            part,
                            difference: describe(&error),
                        }],
                    ));
                }
            }
            if let (Some(kind), Some(played)) = (step.look, left.last()) {
                let findings = world.look(kind, played).await;
                if !findings.is_empty() {
                    return Some((number, findings));
                }
            }
        }
        None
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_whatever_order_hostile_tests_come_the_next_finds_a_new_copy() {
    if !natively(here!()) {
        return;
    }
    let (count, first) = (
        number("EBBTIDE_SEQUENCES").unwrap_or(SEQUENCES),
        number("EBBTIDE_SEED").unwrap_or(0),
    );
    let began = Instant::now();
    let (mut worlds, mut played) = (HashMap::new(), 0);
    for seed in first..first + count {
        let sequence = Sequence::of(seed);
        let world: &World = match worlds.entry(sequence.setup) {
            Entry::Occupied(world) => world.into_mut(),
            Entry::Vacant(place) => place.insert(World::new(sequence.setup).await),
        };
        let found = tokio::time::timeout(STANDSTILL * 2, sequence.play(world)).await;
        let found = found.unwrap_or_else(|_| {
            let difference = format!("not within {:?}", STANDSTILL * 2);
            Some((
                sequence.steps.len() - 1,
                vec![Finding {
                    part: "a test stands still".into(),
                    difference,
                }],
            ))
        });
        if let Some((at, findings)) = found {
            panic!("{}", failure(seed, first, &sequence, at, &findings));
        }
        played += sequence.steps.len();
    }
    println!(
        "{count} orders of {played} hostile tests from seed {first} in {:?}",
        began.elapsed()
    );
}

fn failure(seed: u64, first: u64, sequence: &Sequence, at: usize, findings: &[Finding]) -> String {
    let mut lines = vec![format!(
        "EBBTIDE_SEED={seed} EBBTIDE_SEQUENCES=1, on the server {:?}",
        sequence.setup
    )];
    if seed != first {
        lines.push(format!(
            "or, if it takes what came before: EBBTIDE_SEED={first} EBBTIDE_SEQUENCES={}",
            seed - first + 1
        ));
    }
    for (number, step) in sequence.steps.iter().enumerate().take(at + 1) {
        let look = step
            .look
            .map(|kind| format!(", then a look by a {kind}"))
            .unwrap_or_default();
        lines.push(format!(
            "{}. {} in a {}{look}",
            number + 1,
            step.body.name,
            step.kind
        ));
    }
    lines.extend(
        findings
            .iter()
            .map(|finding| format!("{}:\n{}", finding.part, finding.difference)),
    );
    lines.join("\n")
}
