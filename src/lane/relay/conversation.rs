//! What client and server say to each other, and what the relay says in between.
//!
//! A unit is what the server answers with one `ReadyForQuery`: a simple query, or messages up to a `Sync`. Around a unit
//! outside the application's transactions the relay sets a savepoint of its own, and leaves it afterwards. It speaks the
//! extended protocol for that, with a statement that has a name and is forgotten at once: a simple query would destroy the
//! client's unnamed statement. Most of the time all of it goes to the server as one unit, which ends with one answer.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>

use std::collections::{HashMap, VecDeque};

use super::savepoints::Savepoints;
use super::script::{Script, Step};
use super::wire::{Message, push, text};

const SET: &str = "savepoint _ebbtide_statement";
const UNDO: &str = "rollback to savepoint _ebbtide_statement";
const LEAVE: &str = "release savepoint _ebbtide_statement";
/// The name of our statements and portals.
const OURS: &[u8] = b"_ebbtide_statement\0";

/// Both directions.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) to_server: Vec<u8>,
    pub(super) to_client: Vec<u8>,
}

/// Where the two sides are.
#[derive(Debug)]
pub(super) struct Conversation {
    /// What the server says of the transaction when it is ready: `I` for none, `T` for one, `E` for a failed one.
    status: u8,
    /// What the server owes, in the order in which it comes.
    owed: VecDeque<Debt>,
    unit: Unit,
    /// Those of the client's prepared statements that are not plain, by their names.
    statements: HashMap<String, Script>,
    savepoints: Savepoints,
    /// Whether our savepoint stands.
    guarded: bool,
}

/// Answers that belong together.
#[derive(Debug, Clone, Copy)]
struct Debt {
    to: Owed,
    /// How many messages of the client's side are still to be answered. None: up to `ReadyForQuery`.
    answers: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    /// To the client.
    Unit,
    /// To us, for our own statements.
    Set,
    Undone,
    Left,
}

/// What the client is about.
#[derive(Debug, Default)]
struct Unit {
    /// What has not been sent on.
    held: Vec<u8>,
    /// Its statements that were not done yet.
    steps: VecDeque<Step>,
    /// The statement that is bound to the portal.
    bound: Option<Script>,
    /// How many messages of an extended query have an answer each.
    answers: usize,
    talk: Talk,
    may_fail: bool,
    may_copy: bool,
}

/// Whether the client has more to say before the server is ready.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Talk {
    #[default]
    Over,
    Open,
}

impl Conversation {
    /// The client has sent its first message.
    pub(super) fn new() -> Self {
        Self {
            status: b'I',
            owed: VecDeque::from([Debt {
                to: Owed::Unit,
                answers: None,
            }]),
            unit: Unit {
                talk: Talk::Open,
                ..Unit::default()
            },
            statements: HashMap::new(),
            savepoints: Savepoints::default(),
            guarded: false,
        }
    }

    /// Whether a message of the client's can be taken now.
    pub(super) fn hears_client(&self) -> bool {
        self.owed.is_empty() || self.unit.talk == Talk::Open
    }

    pub(super) fn hear_client(&mut self, message: Message<'_>, out: &mut Outbox) {
        let kind = message.kind();
        if !self.owed.is_empty() {
            self.note(message);
            if matches!(kind, b'S' | b'c' | b'f') {
                self.unit.talk = Talk::Over;
            }
            out.to_server.extend(message.whole);
            return;
        }
        match kind {
            // The server has refused the COPY that this belongs to, and would drop it as well.
            b'd' | b'c' | b'f' => {}
            b'X' => out.to_server.extend(message.whole),
            _ => {
                self.note(message);
                self.unit.held.extend(message.whole);
                if matches!(kind, b'Q' | b'F' | b'S' | b'H') {
                    self.begin(kind, out);
                }
            }
        }
    }

    pub(super) fn hear_server(&mut self, message: Message<'_>, out: &mut Outbox) {
        let kind = message.kind();
        let Some(debt) = self.owed.front_mut() else {
            out.to_client.extend(message.whole);
            return;
        };
        let is_for_client = match (debt.to, kind) {
            (_, b'Z') => {
                self.status = message.body().first().copied().unwrap_or(b'I');
                self.ready(out);
                return;
            }
            (Owed::Unit, _) => true,
            // The rest of what was sent with it is left out by the server.
            (Owed::Set, b'E') => debt.answers.is_some(),
            // Notices, settings and notifications belong to nobody.
            (Owed::Set | Owed::Undone | Owed::Left, _) => matches!(kind, b'N' | b'S' | b'A'),
        };
        if is_for_client {
            out.to_client.extend(message.whole);
        }
        let paid = debt.is_paid_by(kind).then_some(debt.to);
        if debt.to == Owed::Unit {
            self.follow(kind);
        }
        if let Some(to) = paid {
            self.guarded |= to == Owed::Set;
            self.owed.pop_front();
        }
    }

    /// Learns what has become of the unit's statements.
    fn follow(&mut self, kind: u8) {
        match kind {
            b'C' | b's' | b'I' => {
                if let Some(step) = self.unit.steps.pop_front() {
                    // Ours has gone with the transaction, although `AND CHAIN` may have begun another.
                    self.guarded &= step != Step::End;
                    self.savepoints.follow(step);
                }
            }
            b'G' => self.unit.talk = Talk::Open,
            _ => {}
        }
    }

    /// Learns what the unit does.
    fn note(&mut self, message: Message<'_>) {
        let unit = &mut self.unit;
        unit.may_fail |= matches!(message.kind(), b'Q' | b'F' | b'P' | b'B' | b'D' | b'E');
        unit.answers += usize::from(matches!(message.kind(), b'P' | b'B' | b'D' | b'E' | b'C'));
        match message.kind() {
            b'Q' => {
                let script = Script::of(&text(message.body()).0);
                unit.may_copy = script.may_copy;
                unit.steps.extend(script.steps);
            }
            b'P' => {
                let (name, rest) = text(message.body());
                let script = Script::of(&text(rest).0);
                if script.is_plain() {
                    self.statements.remove(&name);
                } else {
                    self.statements.insert(name, script);
                }
            }
            b'B' => {
                let (_portal, rest) = text(message.body());
                unit.bound = self.statements.get(&text(rest).0).cloned();
            }
            b'E' => match &unit.bound {
                Some(script) => {
                    unit.may_copy |= script.may_copy;
                    unit.steps.extend(script.steps.iter().cloned());
                }
                None => unit.steps.push_back(Step::Other),
            },
            b'C' => {
                if let Some((b'S', name)) = message.body().split_first() {
                    self.statements.remove(&text(name).0);
                }
            }
            _ => {}
        }
    }

    /// Sends on what the client has said. `last` is the kind of its last message.
    fn begin(&mut self, last: u8, out: &mut Outbox) {
        let unit = &mut self.unit;
        let ends = unit.steps.contains(&Step::End);
        let sets = self.status == b'T' && self.savepoints.is_empty() && unit.may_fail && !ends;
        let is_plain = !unit.may_copy && unit.steps.iter().all(|step| *step == Step::Other);
        unit.talk = if last == b'H' { Talk::Open } else { Talk::Over };
        let (server, owed) = (&mut out.to_server, &mut self.owed);
        let mut owe = |to, answers| owed.push_back(Debt { to, answers });
        match last {
            _ if !sets => {
                server.append(&mut unit.held);
                owe(Owed::Unit, None);
            }
            b'S' if is_plain => {
                say(&[SET], server);
                owe(Owed::Set, Some(ANSWERS));
                server.extend(&unit.held[..unit.held.len() - SYNC]);
                owe(Owed::Unit, Some(unit.answers));
                say(&[LEAVE], server);
                sync(server);
                owe(Owed::Left, None);
            }
            b'S' | b'H' => {
                say(&[SET], server);
                owe(Owed::Set, Some(ANSWERS));
                server.append(&mut unit.held);
                owe(Owed::Unit, None);
            }
            // A simple query is a unit of its own, and would be left out after an error before a `Sync`.
            _ => {
                say(&[SET], server);
                sync(server);
                owe(Owed::Set, None);
                server.append(&mut unit.held);
                owe(Owed::Unit, None);
                if is_plain {
                    // Spares a round trip. After a failure it is refused, and what is right follows.
                    say(&[LEAVE], server);
                    sync(server);
                    owe(Owed::Left, None);
                }
            }
        }
    }

    /// The server is ready.
    fn ready(&mut self, out: &mut Outbox) {
        let at = self.owed.front().map(|debt| debt.to);
        // After an error, what stood between it and the `Sync` has no answers.
        while let Some(debt) = self.owed.pop_front()
            && debt.answers.is_some()
        {}
        match at {
            Some(Owed::Set) => self.guarded = self.status == b'T',
            Some(Owed::Left) => self.guarded &= self.status == b'E',
            Some(Owed::Undone) => self.guarded = false,
            Some(Owed::Unit) | None => {}
        }
        if !self.owed.is_empty() {
            return;
        }
        self.unit = Unit::default();
        if self.status == b'I' {
            self.savepoints.clear();
            self.guarded = false;
        }
        // Within the application's transaction, ours waits below it for the end of that.
        let (to, statements): (_, &[&str]) = match self.status {
            b'T' if self.guarded && self.savepoints.is_empty() => (Owed::Left, &[LEAVE]),
            b'E' if self.guarded && self.savepoints.is_empty() => (Owed::Undone, &[UNDO, LEAVE]),
            status => {
                push(&mut out.to_client, b'Z', &[&[status]]);
                return;
            }
        };
        say(statements, &mut out.to_server);
        sync(&mut out.to_server);
        self.owed.push_back(Debt { to, answers: None });
    }
}

impl Debt {
    /// Whether a message from the server was the last answer of it.
    fn is_paid_by(&mut self, kind: u8) -> bool {
        match &mut self.answers {
            Some(answers)
                if matches!(kind, b'1' | b'2' | b'3' | b'T' | b'n' | b'C' | b's' | b'I') =>
            {
                *answers -= 1;
                *answers == 0
            }
            Some(_) | None => false,
        }
    }
}

/// Messages that make one of our statements, each of which has an answer.
const ANSWERS: usize = 6;
/// Bytes of a `Sync`.
const SYNC: usize = 5;

fn say(statements: &[&str], out: &mut Vec<u8>) {
    for statement in statements {
        // What an error has left of the last one.
        push(out, b'C', &[b"S", OURS]);
        push(out, b'P', &[OURS, statement.as_bytes(), b"\0\0\0"]);
        push(out, b'B', &[OURS, OURS, &[0; 6]]);
        push(out, b'E', &[OURS, &[0; 4]]);
        push(out, b'C', &[b"P", OURS]);
        push(out, b'C', &[b"S", OURS]);
    }
}

fn sync(out: &mut Vec<u8>) {
    push(out, b'S', &[]);
}

#[cfg(test)]
mod tests;
