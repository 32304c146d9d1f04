//! The names of ebbtide's own objects in a lane, its settings, savepoints and error codes.
//!
//! The SQL in `guard/schema` creates what this file names, and the messages in `guard` use it. The
//! names are in a file of their own, below every other layer, because three other modules use them.
//! `server` sets the identity, `sql_error` recognises the codes, and `catalog` leaves the schema
//! out. A test compares this file with the SQL. The file is part of each fingerprint.

/// The text with which all of ebbtide's own names in a database begin.
///
/// A macro, because `concat!` takes no constants.
macro_rules! own {
    ($($rest:literal)?) => {
        concat!("_ebbtide" $(, $rest)?)
    };
}
pub(crate) use own;

/// The schema with ebbtide's own objects in a template and its copies.
///
/// It is also the prefix of ebbtide's other names. So a statement that contains it is one of
/// ebbtide's own, and each message that a report or a cancellation must spare contains it.
pub(crate) const SCHEMA: &str = own!();

/// A test's transaction writes a row here, and the row's deferred trigger refuses a COMMIT.
pub(crate) const OPEN_TEST: &str = own!(".open_test");
/// On an external server: whether the lane equals the template, its holder, and its uses.
pub(crate) const LANE: &str = own!(".lane");
/// The values that the sequences had in the template.
pub(crate) const SEQUENCES: &str = own!(".sequences");
/// What a reset compares a lane with.
pub(crate) const BASELINE: &str = own!(".baseline");

/// The argument of `SET CONSTRAINTS` at the end of a test.
pub(crate) const DEFERRABLE: &str = own!(".deferrable");
/// The statements that end what a real COMMIT would have ended.
pub(crate) const LOCALS: &str = own!(".locals");
/// Restores the sequences, and returns what a test has left.
pub(crate) const REWOUND: &str = own!(".rewound");
/// As [`REWOUND`], for a session of another role than the one that sealed the template.
pub(crate) const REWOUND_OF_ROLE: &str = own!(".rewound_of_role");
/// Whether the inputs of the planner differ from the template's.
pub(crate) const ESTIMATES_SEEN: &str = own!(".estimates_seen");

/// Whether a reset can make the lane equal to the template.
pub(crate) const RESET_STATE: &str = own!(".reset_state");
/// The tables whose rows a reset must restore.
pub(crate) const CHANGED_TABLES: &str = own!(".changed_tables");
/// What the planner reads of the tables and indexes of the template.
pub(crate) const ESTIMATES: &str = own!(".estimates");
/// Returns what a checkpoint has to restore beside its savepoint.
pub(crate) const CHECKPOINT_STATE: &str = own!(".checkpoint_state");
/// Restores what [`CHECKPOINT_STATE`] has returned.
pub(crate) const REWIND: &str = own!(".rewind");

/// Local to the test's transaction: proves that it is still the same one.
pub(crate) const TEST_SETTING: &str = "ebbtide.test";
/// `on` while ebbtide itself ends the transaction: the trigger accepts that.
pub(crate) const CLOSING_SETTING: &str = "ebbtide.closing";
/// Set on each server that ebbtide starts: the name of its instance.
pub(crate) const IDENTITY_SETTING: &str = "ebbtide.identity";

/// The statements of one savepoint.
#[derive(Debug)]
pub(crate) struct Savepoint {
    pub(crate) set: &'static str,
    pub(crate) release: &'static str,
    pub(crate) roll_back: &'static str,
}

macro_rules! savepoint {
    ($name:literal) => {
        Savepoint {
            set: concat!("savepoint ", $name),
            release: concat!("release savepoint ", $name),
            roll_back: concat!("rollback to savepoint ", $name),
        }
    };
}

/// Set before the test's first statement.
pub(crate) const TEST_SAVEPOINT: Savepoint = savepoint!("_ebbtide");
/// Set before the statements that end a test, so that these can fail and leave no trace.
pub(crate) const END_SAVEPOINT: Savepoint = savepoint!("_ebbtide_end");
/// The beginning of the names of the savepoints of checkpoints.
pub(crate) const CHECKPOINT_PREFIX: &str = own!("_checkpoint_");
/// Set before a rewind, which destroys it. After a rewind to a savepoint that does not exist, it
/// restores the transaction.
pub(crate) const REWIND_SAVEPOINT: Savepoint = savepoint!("_ebbtide_rewind");
/// Set by the relay around each batch of a client.
pub(crate) const BATCH_SAVEPOINT: Savepoint = savepoint!("_ebbtide_statement");
/// The relay's prepared statements and portals. The name ends with the zero byte of the protocol.
pub(crate) const RELAY_STATEMENT: &[u8] = b"_ebbtide_statement\0";
/// sqlx's savepoint of its second level. A sandbox uses the same name. sqlx rejects a `begin_with`
/// inside a transaction, and then rolls back to this savepoint. With another name, sqlx would end
/// the guarded transaction.
pub(crate) const SANDBOX_SAVEPOINT: Savepoint = savepoint!("_sqlx_savepoint_1");

/// The constraint of `lane` that fails if another process holds the lane.
pub(crate) const ANOTHER_HOLDER: &str = "leased_to_another_process";
/// The constraint of `open_test` that fails on another server than the expected one.
pub(crate) const ANOTHER_SERVER: &str = "another_server";
/// SQLSTATE: a checkpoint cannot be set while a cursor is open.
pub(crate) const CURSOR_OPEN: &str = "EB003";
/// SQLSTATE: a rewind cannot take an advisory lock again.
pub(crate) const ADVISORY_LOCK_TAKEN: &str = "EB004";
/// SQLSTATE and the beginning of the message: the trigger has refused a COMMIT.
pub(crate) const COMMIT_REFUSED: (&str, &str) = ("25000", "COMMIT refused");
