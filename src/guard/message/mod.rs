//! The texts of the guard's messages. Nothing here does I/O.
//!
//! | file | noun |
//! |---|---|
//! | `mark` | what proves that a transaction is still the test's own |
//! | `open` | the message that begins a guarded transaction |
//! | `checkpoint` | the messages that set a checkpoint and return to it |
//! | `close` | the messages that inspect it and end it |
//! | `lane_record` | the lane's own table, where no file of a lane records its state |
//! | `sandbox` | the savepoint around what an application executes outside its transactions |
//! | `reset` | the messages that undo what a test has committed |
//!
//! A message is one simple query of several statements, so it costs one round trip. The server
//! executes its statements in one transaction until a statement begins or ends one explicitly, and
//! after an error it does not execute the rest
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>).

pub(super) mod checkpoint;
pub(super) mod close;
pub(super) mod lane_record;
pub(super) mod mark;
pub(super) mod open;
pub(super) mod reset;
pub(super) mod sandbox;
