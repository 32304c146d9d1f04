//! What client and server say to each other, and what the relay says in between.
//!
//! A batch is what the server answers with one `ReadyForQuery`: a simple query, or messages up to a `Sync`. Around a batch
//! outside the application's transactions the relay sets a savepoint of its own, and leaves it afterwards. It speaks the
//! extended protocol for that, with a statement that has a name and is forgotten at once: a simple query would destroy the
//! client's unnamed statement. Most of the time all of it goes to the server as one batch, which ends with one answer.
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
    pending: VecDeque<PendingReply>,
    batch: ClientBatch,
    /// Those of the client's prepared statements that are not plain, by their names.
    statements: HashMap<String, Script>,
    savepoints: Savepoints,
    /// Whether our savepoint stands.
    guarded: bool,
}

/// Answers that belong together.
#[derive(Debug, Clone, Copy)]
struct PendingReply {
    to: ReplyTo,
    /// How many messages of the client's side are still to be answered. None: up to `ReadyForQuery`.
    answers: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyTo {
    /// To the client.
    Client,
    /// To us, for our own statements.
    Set,
    Undone,
    Left,
}

/// What the client is about.
#[derive(Debug, Default)]
struct ClientBatch {
    /// What has not been sent on.
    held: Vec<u8>,
    /// Its statements that were not done yet.
    steps: VecDeque<Step>,
    /// The statement that is bound to the portal.
    bound: Option<Script>,
    /// How many messages of an extended query have an answer each.
    answers: usize,
    state: BatchState,
    may_fail: bool,
    may_copy: bool,
}

/// Whether the client has more to say before the server is ready.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BatchState {
    #[default]
    Over,
    Open,
}

impl Conversation {
    /// The client has sent its first message.
    pub(super) fn new() -> Self {
        Self {
            status: b'I',
            pending: VecDeque::from([PendingReply {
                to: ReplyTo::Client,
                answers: None,
            }]),
            batch: ClientBatch {
                state: BatchState::Open,
                ..ClientBatch::default()
            },
            statements: HashMap::new(),
            savepoints: Savepoints::default(),
            guarded: false,
        }
    }

    /// Whether a message of the client's can be taken now.
    pub(super) fn hears_client(&self) -> bool {
        self.pending.is_empty() || self.batch.state == BatchState::Open
    }

    pub(super) fn hear_client(&mut self, message: Message<'_>, out: &mut Outbox) {
        let kind = message.kind();
        if !self.pending.is_empty() {
            self.note(message);
            if matches!(kind, b'S' | b'c' | b'f') {
                self.batch.state = BatchState::Over;
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
                self.batch.held.extend(message.whole);
                if matches!(kind, b'Q' | b'F' | b'S' | b'H') {
                    self.begin(kind, out);
                }
            }
        }
    }

    pub(super) fn hear_server(&mut self, message: Message<'_>, out: &mut Outbox) {
        let kind = message.kind();
        let Some(reply) = self.pending.front_mut() else {
            out.to_client.extend(message.whole);
            return;
        };
        let is_for_client = match (reply.to, kind) {
            (_, b'Z') => {
                self.status = message.body().first().copied().unwrap_or(b'I');
                self.ready(out);
                return;
            }
            (ReplyTo::Client, _) => true,
            // The rest of what was sent with it is left out by the server.
            (ReplyTo::Set, b'E') => reply.answers.is_some(),
            // Notices, settings and notifications belong to nobody.
            (ReplyTo::Set | ReplyTo::Undone | ReplyTo::Left, _) => {
                matches!(kind, b'N' | b'S' | b'A')
            }
        };
        if is_for_client {
            out.to_client.extend(message.whole);
        }
        let paid = reply.is_paid_by(kind).then_some(reply.to);
        if reply.to == ReplyTo::Client {
            self.follow(kind);
        }
        if let Some(to) = paid {
            self.guarded |= to == ReplyTo::Set;
            self.pending.pop_front();
        }
    }

    /// Learns what has become of the batch's statements.
    fn follow(&mut self, kind: u8) {
        match kind {
            b'C' | b's' | b'I' => {
                if let Some(step) = self.batch.steps.pop_front() {
                    // Ours has gone with the transaction, although `AND CHAIN` may have begun another.
                    self.guarded &= step != Step::End;
                    self.savepoints.follow(step);
                }
            }
            b'G' => self.batch.state = BatchState::Open,
            _ => {}
        }
    }

    /// Learns what the batch does.
    fn note(&mut self, message: Message<'_>) {
        let batch = &mut self.batch;
        batch.may_fail |= matches!(message.kind(), b'Q' | b'F' | b'P' | b'B' | b'D' | b'E');
        batch.answers += usize::from(matches!(message.kind(), b'P' | b'B' | b'D' | b'E' | b'C'));
        match message.kind() {
            b'Q' => {
                let script = Script::of(&text(message.body()).0);
                batch.may_copy = script.may_copy;
                batch.steps.extend(script.steps);
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
                batch.bound = self.statements.get(&text(rest).0).cloned();
            }
            b'E' => match &batch.bound {
                Some(script) => {
                    batch.may_copy |= script.may_copy;
                    batch.steps.extend(script.steps.iter().cloned());
                }
                None => batch.steps.push_back(Step::Other),
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
        let batch = &mut self.batch;
        let ends = batch.steps.contains(&Step::End);
        let sets = self.status == b'T' && self.savepoints.is_empty() && batch.may_fail && !ends;
        let is_plain = !batch.may_copy && batch.steps.iter().all(|step| *step == Step::Other);
        batch.state = if last == b'H' {
            BatchState::Open
        } else {
            BatchState::Over
        };
        let (server, pending) = (&mut out.to_server, &mut self.pending);
        let mut expect_reply = |to, answers| pending.push_back(PendingReply { to, answers });
        match last {
            _ if !sets => {
                server.append(&mut batch.held);
                expect_reply(ReplyTo::Client, None);
            }
            b'S' if is_plain => {
                say(&[SET], server);
                expect_reply(ReplyTo::Set, Some(ANSWERS));
                server.extend(&batch.held[..batch.held.len() - SYNC]);
                expect_reply(ReplyTo::Client, Some(batch.answers));
                say(&[LEAVE], server);
                sync(server);
                expect_reply(ReplyTo::Left, None);
            }
            b'S' | b'H' => {
                say(&[SET], server);
                expect_reply(ReplyTo::Set, Some(ANSWERS));
                server.append(&mut batch.held);
                expect_reply(ReplyTo::Client, None);
            }
            // A simple query is a batch of its own, and would be left out after an error before a `Sync`.
            _ => {
                say(&[SET], server);
                sync(server);
                expect_reply(ReplyTo::Set, None);
                server.append(&mut batch.held);
                expect_reply(ReplyTo::Client, None);
                if is_plain {
                    // Spares a round trip. After a failure it is refused, and what is right follows.
                    say(&[LEAVE], server);
                    sync(server);
                    expect_reply(ReplyTo::Left, None);
                }
            }
        }
    }

    /// The server is ready.
    fn ready(&mut self, out: &mut Outbox) {
        let at = self.pending.front().map(|reply| reply.to);
        // After an error, what stood between it and the `Sync` has no answers.
        while let Some(reply) = self.pending.pop_front()
            && reply.answers.is_some()
        {}
        match at {
            Some(ReplyTo::Set) => self.guarded = self.status == b'T',
            Some(ReplyTo::Left) => self.guarded &= self.status == b'E',
            Some(ReplyTo::Undone) => self.guarded = false,
            Some(ReplyTo::Client) | None => {}
        }
        if !self.pending.is_empty() {
            return;
        }
        self.batch = ClientBatch::default();
        if self.status == b'I' {
            self.savepoints.clear();
            self.guarded = false;
        }
        // Within the application's transaction, ours waits below it for the end of that.
        let (to, statements): (_, &[&str]) = match self.status {
            b'T' if self.guarded && self.savepoints.is_empty() => (ReplyTo::Left, &[LEAVE]),
            b'E' if self.guarded && self.savepoints.is_empty() => (ReplyTo::Undone, &[UNDO, LEAVE]),
            status => {
                push(&mut out.to_client, b'Z', &[&[status]]);
                return;
            }
        };
        say(statements, &mut out.to_server);
        sync(&mut out.to_server);
        self.pending.push_back(PendingReply { to, answers: None });
    }
}

impl PendingReply {
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
