//! One change to a schema with all kinds of object: `pg_dump --create --schema-only` differs if and
//! only if the comparison does.
//!
//! `EBBTIDE_SEQUENCES` is the number of rounds with a random schema (default 30). `EBBTIDE_SEED` is
//! the first seed (the default is fixed). A failure prints the variables that repeat only the
//! failed round.

mod change;
mod of_columns;
mod of_constraints;
mod of_databases;
mod of_relations;
mod of_types;
mod subject;
mod without_difference;

use std::collections::BTreeSet;

use ebbtide::Harness;

use self::change::Change;
use self::subject::{Subject, own_server};
use crate::support::random::{Random, number_in};
use crate::support::schema_pieces::KINDS;
use crate::support::skip::print_uncaptured;
use crate::support::{Scratch, runs_natively, this_test};

/// The changes that a server of this major version knows.
fn changes(version: u32) -> Vec<&'static Change> {
    let groups: [&[Change]; 6] = [
        &of_relations::CHANGES,
        &of_columns::CHANGES,
        &of_constraints::CHANGES,
        &of_types::CHANGES,
        &of_databases::CHANGES,
        &without_difference::CHANGES,
    ];
    let changes = groups.into_iter().flatten();
    changes.filter(|change| change.since <= version).collect()
}

/// An object of a random schema: its kind, its number and its schema.
#[derive(Debug, Clone, Copy)]
struct Piece {
    kind: &'static str,
    number: usize,
    schema: &'static str,
}

impl Piece {
    fn filled(self, sql: &str) -> String {
        sql.replace("{s}", self.schema)
            .replace("{n}", &self.number.to_string())
    }

    /// The SQL that creates the object. `digit` is a number from 1 to 9.
    fn create(self, digit: usize) -> String {
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind);
        let (_, sql) = kind.unwrap_or_else(|| panic!("there is no kind {:?}", self.kind));
        self.filled(sql).replace("{r}", &digit.to_string())
    }
}

#[test]
fn every_kind_of_change_has_a_name_of_its_own() {
    let changes = changes(u32::MAX);
    let names: BTreeSet<&str> = changes.iter().map(|change| change.name).collect();
    assert_eq!(names.len(), changes.len());
    assert!(names.len() >= 120, "{}", names.len());
}

#[tokio::test]
async fn pg_dump_and_the_comparison_agree_on_every_kind_of_change() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = own_server(&scratch);
    let subject = Subject::new(&harness).await;
    let changes = changes(subject.version());
    subject.close().await;
    let (first, second) = changes.split_at(changes.len() / 2);
    let (mut wrong, others) = tokio::join!(
        all_disagreements(first, &harness),
        all_disagreements(second, &harness)
    );
    wrong.extend(others);
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// Like [`disagreements`], with a new database for each few changes: a small one has a short dump.
async fn all_disagreements(changes: &[&'static Change], harness: &Harness) -> Vec<String> {
    let mut wrong = Vec::new();
    for group in changes.chunks(40) {
        let mut subject = Subject::new(harness).await;
        wrong.extend(disagreements(group, &mut subject).await);
        subject.close().await;
    }
    wrong
}

/// The changes on which the two do not agree. Each change has an object of its own, so no change
/// depends on another.
async fn disagreements(changes: &[&'static Change], subject: &mut Subject) -> Vec<String> {
    let pieces = changes.iter().enumerate().map(|(place, change)| Piece {
        kind: change.of,
        number: 100 + place,
        schema: "app",
    });
    let pieces: Vec<Piece> = pieces.collect();
    for piece in pieces.iter().filter(|piece| !piece.kind.is_empty()) {
        subject.run(&piece.create(3)).await.unwrap();
    }
    let mut wrong = Vec::new();
    let mut before = subject.view().await;
    for (change, piece) in changes.iter().zip(pieces) {
        if let Err(error) = subject.run(&piece.filled(change.sql)).await {
            wrong.push(format!("{}: {error}", change.name));
            continue;
        }
        let after = subject.view().await;
        let comparison = before.compare(&after);
        if let Some(disagreement) = comparison.disagreement() {
            wrong.push(format!("{}: {disagreement}", change.name));
        } else if comparison.is_dumped() != change.differs {
            wrong.push(format!(
                "{}: pg_dump and the comparison report a difference: {}",
                change.name,
                comparison.is_dumped()
            ));
        }
        before = after;
    }
    wrong
}

#[tokio::test]
async fn pg_dump_and_the_comparison_agree_on_a_random_change_of_a_random_schema() {
    if !runs_natively(this_test!()) {
        return;
    }
    let (rounds, first) = (
        number_in("EBBTIDE_SEQUENCES").unwrap_or(30),
        number_in("EBBTIDE_SEED").unwrap_or(7),
    );
    let scratch = Scratch::new();
    let harness = own_server(&scratch);
    let (mut differing, mut refused) = (0, 0);
    for seed in first..first + rounds {
        let mut subject = Subject::new(&harness).await;
        match round(seed, &mut subject).await {
            Some(differs) => differing += u64::from(differs),
            None => refused += 1,
        }
        subject.close().await;
    }
    println!("{rounds} changes: {differing} made a difference, and {refused} were refused");
    assert!(
        differing > rounds / 2 || rounds < 10,
        "{differing} of {rounds}"
    );
    assert!(
        refused <= rounds / 10 || rounds < 10,
        "{refused} of {rounds}"
    );
}

/// One change to a random schema. Returns whether it makes a difference, or `None` if the server
/// refuses it because of the schema's history.
async fn round(seed: u64, subject: &mut Subject) -> Option<bool> {
    let mut random = Random(seed);
    let changes = changes(subject.version());
    let change = random.one_of(&changes);
    let mut pieces: Vec<Piece> = (0..40)
        .map(|place| Piece {
            kind: KINDS[random.below(KINDS.len())].0,
            number: 100 + place,
            schema: random.one_of(&["public", "app", "\"My Schema\""]),
        })
        .collect();
    let target = Piece {
        kind: change.of,
        ..pieces[random.below(pieces.len())]
    };
    pieces[target.number - 100] = target;
    for piece in pieces.iter().filter(|piece| !piece.kind.is_empty()) {
        let digit = 1 + random.below(9);
        subject.run(&piece.create(digit)).await.unwrap();
    }
    // The schema has a history: other objects have been changed before. A change that an earlier
    // one has made impossible is no part of it.
    let mut history = Vec::new();
    for _ in 0..12 {
        let earlier = random.one_of(&changes);
        let others = pieces
            .iter()
            .filter(|piece| piece.number != target.number && piece.kind == earlier.of);
        let others: Vec<Piece> = others.copied().collect();
        if !others.is_empty() {
            let piece = random.one_of(&others);
            if subject.run(&piece.filled(earlier.sql)).await.is_ok() {
                history.push(earlier.name);
            }
        }
    }
    let before = subject.view().await;
    let repeat = format!("EBBTIDE_SEED={seed} EBBTIDE_SEQUENCES=1: {}", change.name);
    if let Err(error) = subject.run(&target.filled(change.sql)).await {
        print_uncaptured(&format!(
            "{repeat} of {target:?}, after {history:?}: {error}"
        ));
        return None;
    }
    let after = subject.view().await;
    let comparison = before.compare(&after);
    if let Some(disagreement) = comparison.disagreement() {
        panic!("{repeat} of {target:?}, after {history:?}: {disagreement}");
    }
    Some(comparison.is_dumped())
}
