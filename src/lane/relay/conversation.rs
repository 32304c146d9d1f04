//! The messages between client and server, and those that the relay adds.
//!
//! A batch is what the server answers with one `ReadyForQuery`: a simple query, or the messages of
//! an extended query up to `Sync`. The relay sets a savepoint before each batch that is outside the
//! application's transactions. After the batch it releases the savepoint, or rolls back to it if a
//! statement has failed.
//!
//! ```text
//!  idle: no reply is pending, the client may send
//!    |
//!    | the client ends its batch (Q, F, S) or flushes it (H): forward_batch
//!    v
//!  replies are pending <------------------------------------------------------+
//!    |                                                                        |
//!    | the last ReadyForQuery: on_ready_for_query                             |
//!    |-- T, the savepoint is still set: send the release ---------------------+
//!    |-- E, the savepoint is still set: send the rollback and the release ----+
//!    |
//!    +-- otherwise: ReadyForQuery goes to the client --> idle
//! ```
//!
//! The relay usually needs no round trip of its own. It sends the client's batch together with the
//! relay's statements:
//!
//! ```text
//!  simple query, plain           [savepoint] Sync  Query  [release] Sync
//!  simple query, other           [savepoint] Sync  Query
//!  extended query, plain         [savepoint]  Parse Bind Execute ..  [release] Sync
//!  extended query, other         [savepoint]  Parse Bind Execute ..  Sync
//! ```
//!
//! "Other" means that the batch may copy, changes the application's savepoints, or is flushed. Then
//! only the replies to the batch show whether the relay must release its savepoint.
//!
//! The relay's own statements use the extended protocol, with a named statement that is closed at
//! once. A simple query would destroy the client's unnamed statement.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>

use std::collections::{HashMap, VecDeque};

use super::client_sql::{ClientSql, StatementKind};
use super::savepoints::Savepoints;
use super::wire::{Message, c_string, push_message};
use crate::guard_names::{BATCH_SAVEPOINT, RELAY_STATEMENT};

/// Messages to send, in both directions.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) to_server: Vec<u8>,
    pub(super) to_client: Vec<u8>,
}

/// The state of one relayed connection.
#[derive(Debug)]
pub(super) struct Conversation {
    /// The transaction status of the last `ReadyForQuery`: `I` outside a transaction, `T` in one,
    /// `E` in a failed one.
    status: u8,
    /// The replies that the server still has to send, in this order.
    pending: VecDeque<PendingReply>,
    batch: ClientBatch,
    /// The client's prepared statements that are not plain, by name.
    prepared: HashMap<String, ClientSql>,
    /// The application's savepoints.
    savepoints: Savepoints,
    /// Whether the relay's savepoint is set.
    is_savepoint_set: bool,
}

/// Messages from the server that belong together.
#[derive(Debug, Clone, Copy)]
struct PendingReply {
    to: ReplyTo,
    /// How many messages the server still has to answer. `None`: all up to `ReadyForQuery`.
    remaining: Option<usize>,
}

/// What the server replies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyTo {
    /// The client's messages. The client receives the reply.
    Client,
    /// The relay's `SAVEPOINT`. The relay consumes this reply and the following ones.
    SetSavepoint,
    /// The relay's `ROLLBACK TO` and `RELEASE` after a failed batch.
    RollBackToSavepoint,
    /// The relay's `RELEASE` after a successful batch.
    ReleaseSavepoint,
}

/// The batch that the client is sending, or for which replies are pending.
#[derive(Debug, Default)]
struct ClientBatch {
    /// The messages that have not been forwarded yet.
    unsent: Vec<u8>,
    /// The statements that the server has not completed yet.
    statements: VecDeque<StatementKind>,
    /// The prepared statement that is bound to the portal, if it is not plain.
    bound: Option<ClientSql>,
    /// How many messages of an extended query the server answers with one message each.
    answered_messages: usize,
    state: BatchState,
    /// Whether there is a message that can fail.
    may_fail: bool,
    /// Whether the server may request data from the client.
    may_copy: bool,
}

/// Whether the client sends further messages before the server reports that it is ready.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BatchState {
    #[default]
    Complete,
    /// Messages follow a `Flush`, or data follows in a COPY.
    Open,
}

impl Conversation {
    /// A conversation in which the client has sent its start-up message.
    pub(super) fn new() -> Self {
        Self {
            status: b'I',
            pending: VecDeque::from([PendingReply {
                to: ReplyTo::Client,
                remaining: None,
            }]),
            // During the login the client sends passwords, which the server requests, before the
            // first `ReadyForQuery`. They are forwarded like the data of an open batch.
            batch: ClientBatch {
                state: BatchState::Open,
                ..ClientBatch::default()
            },
            prepared: HashMap::new(),
            savepoints: Savepoints::default(),
            is_savepoint_set: false,
        }
    }

    /// Whether the relay can process a message from the client now. While replies to a complete
    /// batch are pending, the next batch must wait: the relay may have to roll back first.
    pub(super) fn accepts_client_message(&self) -> bool {
        self.pending.is_empty() || self.batch.state == BatchState::Open
    }

    /// Processes a message from the client. The messages of a new batch are collected until the
    /// batch is complete, because only then is it known whether the batch needs a savepoint.
    /// Further messages of an open batch are forwarded at once.
    pub(super) fn on_client_message(&mut self, message: Message<'_>, out: &mut Outbox) {
        let kind = message.kind();
        if !self.pending.is_empty() {
            self.inspect_client_message(message);
            // `Sync` after a flush, and the end of the data of a COPY in a simple query: the server
            // sends `ReadyForQuery` next.
            if matches!(kind, b'S' | b'c' | b'f') {
                self.batch.state = BatchState::Complete;
            }
            out.to_server.extend(message.whole);
            return;
        }
        match kind {
            // The rest of a COPY that has failed. The server would ignore these messages, too.
            b'd' | b'c' | b'f' => {}
            b'X' => out.to_server.extend(message.whole),
            _ => {
                self.inspect_client_message(message);
                self.batch.unsent.extend(message.whole);
                if matches!(kind, b'Q' | b'F' | b'S' | b'H') {
                    self.forward_batch(kind, out);
                }
            }
        }
    }

    /// Processes a message from the server, which belongs to the first pending reply. Without a
    /// pending reply it is asynchronous, for example a notification, and goes to the client.
    pub(super) fn on_server_message(&mut self, message: Message<'_>, out: &mut Outbox) {
        let kind = message.kind();
        let Some(reply) = self.pending.front_mut() else {
            out.to_client.extend(message.whole);
            return;
        };
        let is_for_client = match (reply.to, kind) {
            (_, b'Z') => {
                self.status = message.body().first().copied().unwrap_or(b'I');
                self.on_ready_for_query(out);
                return;
            }
            (ReplyTo::Client, _) => true,
            // Without a `Sync` of its own, the relay's failed `SAVEPOINT` makes the server skip the
            // client's messages. So the client must receive the error. With a `Sync`, the client's
            // query fails with an error of its own, because the transaction has failed.
            (ReplyTo::SetSavepoint, b'E') => reply.remaining.is_some(),
            // Notices, parameter values and notifications are not part of a reply.
            (
                ReplyTo::SetSavepoint | ReplyTo::RollBackToSavepoint | ReplyTo::ReleaseSavepoint,
                _,
            ) => {
                matches!(kind, b'N' | b'S' | b'A')
            }
        };
        if is_for_client {
            out.to_client.extend(message.whole);
        }
        let completed = reply.is_completed_by(kind).then_some(reply.to);
        if reply.to == ReplyTo::Client {
            self.track_client_reply(kind);
        }
        if let Some(to) = completed {
            self.is_savepoint_set |= to == ReplyTo::SetSavepoint;
            self.pending.pop_front();
        }
    }

    /// Tracks what the server has done with the batch's statements.
    fn track_client_reply(&mut self, kind: u8) {
        match kind {
            // After an error no statement of the rest completes, and none is applied.
            b'C' | b's' | b'I' => {
                if let Some(statement) = self.batch.statements.pop_front() {
                    self.is_savepoint_set = self.savepoints.apply(statement, self.is_savepoint_set);
                }
            }
            // `CopyInResponse`: the server waits for data of the client.
            b'G' => self.batch.state = BatchState::Open,
            _ => {}
        }
    }

    /// Records what a message from the client contributes to the batch.
    fn inspect_client_message(&mut self, message: Message<'_>) {
        let batch = &mut self.batch;
        batch.may_fail |= matches!(message.kind(), b'Q' | b'F' | b'P' | b'B' | b'D' | b'E');
        batch.answered_messages +=
            usize::from(matches!(message.kind(), b'P' | b'B' | b'D' | b'E' | b'C'));
        match message.kind() {
            b'Q' => {
                let sql = ClientSql::parse(&c_string(message.body()).0);
                batch.may_copy = sql.may_copy;
                batch.statements.extend(sql.statements);
            }
            b'P' => {
                let (name, rest) = c_string(message.body());
                let sql = ClientSql::parse(&c_string(rest).0);
                if sql.is_plain() {
                    self.prepared.remove(&name);
                } else {
                    self.prepared.insert(name, sql);
                }
            }
            // sqlx binds and executes only the unnamed portal, so its name need not be kept.
            b'B' => {
                let (_portal, rest) = c_string(message.body());
                batch.bound = self.prepared.get(&c_string(rest).0).cloned();
            }
            b'E' => match &batch.bound {
                Some(sql) => {
                    batch.may_copy |= sql.may_copy;
                    batch.statements.extend(sql.statements.iter().cloned());
                }
                None => batch.statements.push_back(StatementKind::Other),
            },
            b'C' => {
                if let Some((b'S', name)) = message.body().split_first() {
                    self.prepared.remove(&c_string(name).0);
                }
            }
            _ => {}
        }
    }

    /// Forwards the client's messages, with the relay's statements around them. `last` is the kind
    /// of the client's last message.
    ///
    /// A batch needs no savepoint outside a transaction, or inside a transaction of the
    /// application. It also needs none if nothing in it can fail, or if it ends the transaction.
    /// The savepoint of a checkpoint must not be within the relay's, whose release would destroy
    /// it.
    fn forward_batch(&mut self, last: u8, out: &mut Outbox) {
        let batch = &mut self.batch;
        // After a COMMIT or ROLLBACK there is no savepoint to release. In a failed transaction
        // (`E`) the server rejects SAVEPOINT, and only the application's own ROLLBACK may end the
        // failure.
        let ends_transaction = batch.statements.contains(&StatementKind::EndTransaction);
        let is_about_checkpoint = batch
            .statements
            .iter()
            .any(StatementKind::is_about_checkpoint);
        let needs_savepoint = self.status == b'T'
            && !self.savepoints.has_application()
            && batch.may_fail
            && !ends_transaction
            && !is_about_checkpoint;
        let is_plain = !batch.may_copy
            && batch
                .statements
                .iter()
                .all(|statement| *statement == StatementKind::Other);
        batch.state = if last == b'H' {
            BatchState::Open
        } else {
            BatchState::Complete
        };
        let (server, pending) = (&mut out.to_server, &mut self.pending);
        let mut expect_reply = |to, remaining| pending.push_back(PendingReply { to, remaining });
        match last {
            _ if !needs_savepoint => {
                server.append(&mut batch.unsent);
                expect_reply(ReplyTo::Client, None);
            }
            b'S' if is_plain => {
                push_statements(&[BATCH_SAVEPOINT.set], server);
                expect_reply(ReplyTo::SetSavepoint, Some(ANSWERS_PER_STATEMENT));
                // One `Sync` for all: if the client's statement fails, the server skips the
                // release, and the savepoint stays for the rollback.
                server.extend(&batch.unsent[..batch.unsent.len() - SYNC_LENGTH]);
                expect_reply(ReplyTo::Client, Some(batch.answered_messages));
                push_statements(&[BATCH_SAVEPOINT.release], server);
                push_sync(server);
                expect_reply(ReplyTo::ReleaseSavepoint, None);
            }
            b'S' | b'H' => {
                push_statements(&[BATCH_SAVEPOINT.set], server);
                expect_reply(ReplyTo::SetSavepoint, Some(ANSWERS_PER_STATEMENT));
                server.append(&mut batch.unsent);
                expect_reply(ReplyTo::Client, None);
            }
            // The server ends a simple query with a `ReadyForQuery` of its own. The relay's
            // statements need a `Sync` each: after an error the server skips all messages up to a
            // `Sync`, also a simple query.
            _ => {
                push_statements(&[BATCH_SAVEPOINT.set], server);
                push_sync(server);
                expect_reply(ReplyTo::SetSavepoint, None);
                server.append(&mut batch.unsent);
                expect_reply(ReplyTo::Client, None);
                if is_plain {
                    // Sent in advance to save a round trip. If the query fails, the server rejects
                    // the release, and `on_ready_for_query` sends the rollback.
                    push_statements(&[BATCH_SAVEPOINT.release], server);
                    push_sync(server);
                    expect_reply(ReplyTo::ReleaseSavepoint, None);
                }
            }
        }
    }

    /// Processes a `ReadyForQuery`, which completes all replies up to one without a count. After
    /// the last of them, the relay releases its savepoint or rolls back to it. The client receives
    /// `ReadyForQuery` only when the relay has nothing left to do.
    fn on_ready_for_query(&mut self, out: &mut Outbox) {
        let first = self.pending.front().map(|reply| reply.to);
        // After an error the server skips the messages up to `Sync`, so their replies do not come.
        while let Some(reply) = self.pending.pop_front()
            && reply.remaining.is_some()
        {}
        match first {
            // Either the savepoint had a `Sync` of its own, or setting it has failed.
            Some(ReplyTo::SetSavepoint) => self.is_savepoint_set = self.status == b'T',
            // In a failed transaction the server has rejected the release.
            Some(ReplyTo::ReleaseSavepoint) => self.is_savepoint_set &= self.status == b'E',
            Some(ReplyTo::RollBackToSavepoint) => self.is_savepoint_set = false,
            Some(ReplyTo::Client) | None => {}
        }
        if !self.pending.is_empty() {
            return;
        }
        self.batch = ClientBatch::default();
        if self.status == b'I' {
            self.savepoints.clear();
            self.is_savepoint_set = false;
        }
        // If the batch has begun a transaction of the application, the relay's savepoint stays
        // below it and is released after the end of that transaction.
        let (to, statements): (_, &[&str]) = match self.status {
            b'T' if self.is_savepoint_set && !self.savepoints.has_application() => {
                (ReplyTo::ReleaseSavepoint, &[BATCH_SAVEPOINT.release])
            }
            b'E' if self.is_savepoint_set && !self.savepoints.has_application() => (
                ReplyTo::RollBackToSavepoint,
                &[BATCH_SAVEPOINT.roll_back, BATCH_SAVEPOINT.release],
            ),
            // After a rollback by the relay this is `T`, as if the transaction had not failed.
            status => {
                push_message(&mut out.to_client, b'Z', &[&[status]]);
                return;
            }
        };
        push_statements(statements, &mut out.to_server);
        push_sync(&mut out.to_server);
        self.pending.push_back(PendingReply {
            to,
            remaining: None,
        });
    }
}

impl PendingReply {
    /// Counts a message from the server. Returns whether it is the last one of this reply.
    fn is_completed_by(&mut self, kind: u8) -> bool {
        match &mut self.remaining {
            // Not `ErrorResponse`: the replies up to `ReadyForQuery` do not come. Not `t`: in the
            // answer to one `Describe`, `T` or `n` follows.
            Some(remaining)
                if matches!(kind, b'1' | b'2' | b'3' | b'T' | b'n' | b'C' | b's' | b'I') =>
            {
                *remaining -= 1;
                *remaining == 0
            }
            Some(_) | None => false,
        }
    }
}

/// How many messages make up one statement of the relay. The server answers each with one message.
const ANSWERS_PER_STATEMENT: usize = 6;
/// The length of a `Sync` message in bytes.
const SYNC_LENGTH: usize = 5;

fn push_statements(statements: &[&str], out: &mut Vec<u8>) {
    for statement in statements {
        // An error may have kept an earlier statement of that name from being closed.
        push_message(out, b'C', &[b"S", RELAY_STATEMENT]);
        push_message(
            out,
            b'P',
            &[RELAY_STATEMENT, statement.as_bytes(), b"\0\0\0"],
        );
        push_message(out, b'B', &[RELAY_STATEMENT, RELAY_STATEMENT, &[0; 6]]);
        push_message(out, b'E', &[RELAY_STATEMENT, &[0; 4]]);
        // A named portal lasts until the end of the transaction, and the next `Bind` of its name
        // would fail.
        push_message(out, b'C', &[b"P", RELAY_STATEMENT]);
        push_message(out, b'C', &[b"S", RELAY_STATEMENT]);
    }
}

fn push_sync(out: &mut Vec<u8>) {
    push_message(out, b'S', &[]);
}

#[cfg(test)]
mod tests;
