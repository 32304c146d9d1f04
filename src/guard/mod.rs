//! The guard: keeps a test inside one transaction, and proves at the end that it has stayed there.
//!
//! It has two sides. Every copy of a template inherits the schema `_ebbtide`. The schema refuses a
//! COMMIT, and records what the end of a test has to restore or to compare. The messages use it:
//!
//! ```text
//!  session of the test                          schema _ebbtide in the lane
//!
//!  open: BEGIN
//!    set local ebbtide.test = 'open <n>'
//!    insert into _ebbtide.open_test ----------> queues the deferred trigger refuse_commit
//!    SAVEPOINT _ebbtide
//!    |
//!  the test's statements
//!    |-- COMMIT ------------------------------> fires it: error 25000, the server rolls back
//!    |-- SET CONSTRAINTS .. IMMEDIATE --------> fires it: not a commit, so it queues itself again
//!    |-- ROLLBACK: the row, the setting and the savepoint are gone
//!    v
//!  close: is the setting or the row there?
//!    |-- no: the test has left the transaction, its lane is copied again
//!    |-- yes: SET CONSTRAINTS (where there
//!    |     are deferrable ones) --------------> ebbtide.closing = on: fires it, accepted
//!    |   ROLLBACK
//!    |   select .. from _ebbtide.rewound -----> sets the sequences, counts what has been left
//!    v
//!  the next test
//! ```
//!
//! The name of the savepoint proves nothing, since a test can create one with the same name. What
//! proves that the transaction is still the one that [`open()`] began is the local setting, which
//! every end of the transaction resets. If `RESET ALL` has removed the setting, the row is the
//! proof: its `xmin` is this transaction.
//!
//! | file | noun |
//! |---|---|
//! | `schema/` | the SQL of `_ebbtide`, and its installation in a template |
//! | `message/` | the texts of the messages, without I/O |
//! | `session`, `driver` | the settings of a session; what sqlx records about it |
//! | `open`, `close`, `close_result` | begin and end a guarded transaction, and how it ended |
//! | `reset` | undoes what a test has committed |
//! | `checkpoint` | marks a state of the transaction, and returns to it |
//! | `deferrable` | the constraints that a commit would check |
//! | `condition` | the errors by which a message reports the state of its transaction |
//! | `sandbox` | the savepoint around statements outside an application's transactions |
//! | `lane_record` | the state of a lane on an external server |
//! | `exchange` | sends a message, and reads its answer |
//! | `sources` | the hash of all these files, a part of each fingerprint |
//!
//! The names that both sides use are in `guard_names.rs`.

mod checkpoint;
mod close;
mod close_result;
mod condition;
mod deferrable;
mod driver;
mod exchange;
mod lane_record;
mod message;
mod open;
mod reset;
mod sandbox;
mod schema;
mod session;
mod sources;

pub(crate) use checkpoint::{Rewound, rewind, set_checkpoint};
pub(crate) use close::{Closing, close, commit, estimates_are_unchanged};
pub(crate) use close_result::{CloseResult, Outcome, Remains};
pub(crate) use condition::{CONDITION_FAILED, has_left_transaction, is_own_statement};
pub(crate) use deferrable::DeferrableConstraints;
pub(crate) use driver::is_transaction_counted;
pub(crate) use exchange::last_row;
pub(crate) use lane_record::{mark_clean, mark_dirty, mark_unfinished, try_claim};
pub(crate) use message::checkpoint::CheckpointSavepoint;
pub(crate) use message::open::Opening;
pub(crate) use open::open;
pub(crate) use reset::{ResetOutcome, reset};
pub(crate) use sandbox::{begin_statement_savepoint, renew_savepoint};
pub(crate) use schema::install;
pub(crate) use session::{Session, SessionLogin, start_settings};
pub(crate) use sources::SOURCES_HASH;
