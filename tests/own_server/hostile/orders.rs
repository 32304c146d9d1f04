//! Random sequences of bodies on one server, because a leak can depend on several bodies.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use crate::hostile::alone::BODY_TIMEOUT;
use crate::hostile::bodies;
use crate::hostile::body::{Body, Pace};
use crate::hostile::test_database::Kind;
use crate::hostile::test_server::{Finding, ServerKind, TestServer, describe};
use crate::support::random::{Random, number_in};
use crate::support::{runs_natively, this_test};

const DEFAULT_SEQUENCES: u64 = 60;
const MAX_SEQUENCE_LENGTH: usize = 5;

/// A body, and the kind of its test.
#[derive(Clone, Copy)]
struct Step {
    body: &'static Body,
    kind: Kind,
    /// The kind of the test that is inspected afterwards, if one is.
    inspected_by: Option<Kind>,
}

struct Sequence {
    server_kind: ServerKind,
    steps: Vec<Step>,
}

impl Sequence {
    fn from_seed(seed: u64) -> Self {
        let mut random = Random(seed);
        let server_kind = match random.below(6) {
            0 => ServerKind::Linked,
            1 => ServerKind::Replicating,
            _ => ServerKind::Plain,
        };
        let quick = bodies::all()
            .into_iter()
            .filter(|body| body.pace == Pace::Quick);
        let (common, own): (Vec<&Body>, Vec<&Body>) = quick
            .filter(|body| {
                body.server_kind() == ServerKind::Plain || body.server_kind() == server_kind
            })
            .partition(|body| body.server_kind() == ServerKind::Plain);
        let length = 1 + random.below(MAX_SEQUENCE_LENGTH);
        let step = |number| {
            // Half of the bodies need this kind of server, if there are any such bodies.
            let body = if own.is_empty() || random.below(2) == 0 {
                random.one_of(&common)
            } else {
                random.one_of(&own)
            };
            let kind = random.one_of(body.kinds);
            let is_inspected = number + 1 == length || random.below(2) == 0;
            Step {
                body,
                kind,
                inspected_by: is_inspected.then(|| random.one_of(&Kind::ALL)),
            }
        };
        Self {
            server_kind,
            steps: (0..length).map(step).collect(),
        }
    }

    /// Runs the sequence up to the first step after which the next test found a difference, and
    /// returns the step's number and the findings.
    ///
    /// Connections and threads that the bodies left open stay alive until the sequence ends.
    async fn run(&self, server: &TestServer) -> Option<(usize, Vec<Finding>)> {
        let mut completed = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            if !server.supports(step.body) {
                continue;
            }
            match server.run_body(step.body, step.kind).await {
                Ok(done) => completed.push(done),
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
            if let (Some(kind), Some(last)) = (step.inspected_by, completed.last()) {
                let findings = server.inspect_next(kind, last).await;
                if !findings.is_empty() {
                    return Some((number, findings));
                }
            }
        }
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_hostile_tests_in_any_order_the_next_test_finds_a_new_copy() {
    if !runs_natively(this_test!()) {
        return;
    }
    let (count, first) = (
        number_in("EBBTIDE_SEQUENCES").unwrap_or(DEFAULT_SEQUENCES),
        number_in("EBBTIDE_SEED").unwrap_or(0),
    );
    let started_at = Instant::now();
    // One server of each kind serves all sequences: a failure can depend on an earlier sequence.
    let (mut servers, mut bodies_run) = (HashMap::new(), 0);
    for seed in first..first + count {
        let sequence = Sequence::from_seed(seed);
        let server: &TestServer = match servers.entry(sequence.server_kind) {
            Entry::Occupied(server) => server.into_mut(),
            Entry::Vacant(place) => place.insert(TestServer::new(sequence.server_kind).await),
        };
        let found = tokio::time::timeout(BODY_TIMEOUT * 2, sequence.run(server)).await;
        let found = found.unwrap_or_else(|_| {
            let difference = format!("not within {:?}", BODY_TIMEOUT * 2);
            Some((
                sequence.steps.len() - 1,
                vec![Finding {
                    part: "the sequence does not end".into(),
                    difference,
                }],
            ))
        });
        if let Some((at, findings)) = found {
            panic!("{}", failure(seed, first, &sequence, at, &findings));
        }
        bodies_run += sequence.steps.len();
    }
    println!(
        "{count} orders of {bodies_run} hostile tests from seed {first} in {:?}",
        started_at.elapsed()
    );
}

fn failure(seed: u64, first: u64, sequence: &Sequence, at: usize, findings: &[Finding]) -> String {
    let mut lines = vec![format!(
        "EBBTIDE_SEED={seed} EBBTIDE_SEQUENCES=1, on the server {:?}",
        sequence.server_kind
    )];
    if seed != first {
        lines.push(format!(
            "or, if the failure depends on earlier orders: EBBTIDE_SEED={first} \
             EBBTIDE_SEQUENCES={}",
            seed - first + 1
        ));
    }
    for (number, step) in sequence.steps.iter().enumerate().take(at + 1) {
        let inspection = step
            .inspected_by
            .map(|kind| format!(", then the next test is a {kind}"))
            .unwrap_or_default();
        lines.push(format!(
            "{}. {} in a {}{inspection}",
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
