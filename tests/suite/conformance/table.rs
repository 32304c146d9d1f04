//! The expected verdict of every probe.

use std::fmt;

/// How a hole shows in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The test behaves as on a database of its own, although it shares one.
    Closed,
    /// An error, or the failure report, names the hole and the remedy.
    Refused,
    /// Nothing differs, and nothing is shared.
    Same,
    /// A known difference remains. `docs/isolation.md` names the remedy.
    Documented,
    /// Something leaks or behaves otherwise, and no error reports it.
    Silent,
    /// A test cannot reach the hole.
    NotApplicable,
    /// This server lacks what the probe needs. A line with `SKIPPED:` is printed, and the table
    /// keeps the expected verdict.
    Unsupported,
}

impl Verdict {
    const ALL: [Self; 7] = [
        Self::Closed,
        Self::Refused,
        Self::Same,
        Self::Documented,
        Self::Silent,
        Self::NotApplicable,
        Self::Unsupported,
    ];

    /// The verdict that is displayed as this word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.to_string() == word)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Same => "same",
            Self::Documented => "documented",
            Self::Silent => "**silent**",
            Self::NotApplicable => "n/a",
            Self::Unsupported => "not on this server",
        })
    }
}

/// A kind of isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tx,
    Sandbox,
    Database,
    /// A pool on a database of the test's own, which sqlx creates and drops.
    SqlxTest,
    /// A connection, `begin` and `rollback`, on a database that all tests share.
    Plain,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Tx,
        Self::Sandbox,
        Self::Database,
        Self::SqlxTest,
        Self::Plain,
    ];

    pub(crate) fn column(self) -> usize {
        self as usize
    }

    /// The verdict for a difference that remains: ebbtide documents its own.
    pub(crate) fn difference(self) -> Verdict {
        match self {
            Self::Tx | Self::Sandbox | Self::Database => Verdict::Documented,
            Self::SqlxTest | Self::Plain => Verdict::Silent,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tx => "Tx",
            Self::Sandbox => "Sandbox",
            Self::Database => "Database",
            Self::SqlxTest => "#[sqlx::test]",
            Self::Plain => "plain transaction",
        })
    }
}

/// A hole, and its verdict in each kind of test.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) hole: &'static str,
    /// By [`Kind::column`].
    pub(crate) expected: [Verdict; 5],
    /// What the author of a test can do about it.
    pub(crate) remedy: &'static str,
}

const fn row(number: u8, expected: [Verdict; 5], hole: &'static str, remedy: &'static str) -> Row {
    Row {
        number,
        hole,
        expected,
        remedy,
    }
}

use Verdict::{Closed, Documented, NotApplicable, Refused, Same, Silent};

#[rustfmt::skip]
pub(crate) const TABLE: [Row; 30] = [
    row(1, [Closed, Closed, Closed, Same, Silent],
        "sequences and identity columns keep counting after a rollback",
        "nothing: ebbtide restores them at the test's end"),
    row(2, [Closed, Closed, Same, Same, Silent],
        "deferred constraints are never checked, because nothing is committed",
        "`close().await`, or `#[ebbtide::test]`: the test fails with the constraint's name"),
    row(3, [Documented, Documented, Same, Same, Silent],
        "`now()` stands still, and all statements have the same transaction id",
        "`clock_timestamp()` where time must pass, or a `Database`"),
    row(4, [Documented, Documented, Same, Same, Silent],
        "`NOTIFY` is delivered only at a real commit",
        "a `Database`"),
    row(5, [Closed, Closed, Closed, Same, Closed],
        "a session's advisory locks survive a rollback",
        "nothing: ebbtide releases them at the test's end"),
    row(6, [Closed, Closed, Closed, Same, Closed],
        "`SET`, `LISTEN`, `PREPARE`, temporary tables and held cursors survive in the session",
        "nothing: the next test's session is like a new one"),
    row(7, [Refused, Refused, Same, Same, Silent],
        "the code under test opens a second connection, which does not see the first one's rows",
        "pass on the connection or `&mut *tx`, or use a `Database`"),
    row(8, [Closed, Closed, Same, Same, Silent],
        "a stray `COMMIT` or `ROLLBACK` in SQL or in a procedure ends the test's transaction",
        "sqlx's `begin()` and `commit()`, which become savepoints; a `Database` for procedures that commit"),
    row(9, [Closed, Closed, Same, Same, Refused],
        "after a failed statement, every later statement fails too (25P02)",
        "`savepoints` for a `Tx`, or a `Sandbox`; the failure report names the first error"),
    row(10, [NotApplicable, Refused, Same, Same, NotApplicable],
        "two transactions of the application are open at once, on one connection",
        "a `Database`"),
    row(11, [Closed, Refused, Same, Same, Silent],
        "the isolation level of an inner transaction is ignored",
        "`isolation_level` for a `Tx`, or a `Database`"),
    row(12, [Documented, Documented, Same, Same, Silent],
        "`FOR UPDATE SKIP LOCKED`, `NOWAIT` and deadlocks have no effect on a single connection",
        "a `Database`, with one connection for each worker"),
    row(13, [Closed, Closed, Closed, Closed, Silent],
        "locks that a test holds until its end block other tests",
        "nothing: no two tests use a database at the same time"),
    row(14, [Refused, Refused, Same, Same, Refused],
        "`VACUUM`, `CREATE INDEX CONCURRENTLY`, `CREATE DATABASE` and `ALTER SYSTEM` run only outside transactions",
        "a `Database`"),
    row(15, [Refused, Refused, Same, Same, Refused],
        "a new value of an enum cannot be used before it is committed",
        "add the value in a migration, or a `Database`"),
    row(16, [Documented, Documented, Same, Same, Silent],
        "`ON COMMIT DROP` and `ON COMMIT DELETE ROWS` never take effect",
        "a `Database`"),
    row(17, [Closed, Closed, Same, Same, Closed],
        "the rollback at the end hides that the code under test rolls back incorrectly",
        "nothing: the transactions of the code are savepoints, and the test sees what they undo or keep"),
    row(18, [Closed, Closed, Closed, Same, Silent],
        "dead rows accumulate over thousands of rollbacks",
        "nothing: the database is copied again from time to time"),
    row(19, [Documented, Documented, Documented, Silent, Silent],
        "the write-ahead log belongs to the server: replication and logical decoding see every test",
        "a server of its own: a `Harness` with another `state_dir`"),
    row(20, [Closed, Closed, Closed, Same, Silent],
        "a statement or a task that the test started continues after the test",
        "end or await it: ebbtide cancels its statement or ends its session"),
    row(21, [Closed, Closed, Documented, Silent, Closed],
        "roles, databases, tablespaces and `ALTER SYSTEM` belong to the server: what a test creates there stays",
        "use different names in each test, and remove the objects in the test; a test of such objects needs a server of its own"),
    row(22, [Documented, Documented, Same, Same, Silent],
        "`SET LOCAL` and `set_config(.., true)` outlive the application's own commit, because it only releases a savepoint",
        "set it with a prepared statement in a `Sandbox`: the setting ends when the connection returns to the pool; or a `Database`"),
    row(23, [Documented, Documented, Same, Same, Silent],
        "`pg_advisory_xact_lock` outlives the application's own commit",
        "a `Database`, if another session must get the lock"),
    row(24, [Closed, Closed, Closed, Same, Silent],
        "without `ORDER BY`, the order of rows depends on what earlier tests wrote and deleted",
        "nothing: new rows are stored as on a new database; production needs the `ORDER BY` all the same"),
    row(25, [Closed, Closed, Closed, Same, Silent],
        "the planner's estimates, and so its plans, depend on what earlier tests wrote or analysed",
        "nothing: tables have the size and the statistics that the migrations left"),
    row(26, [Documented, Closed, Closed, Same, Closed],
        "a custom setting that was set once is `''` and not NULL for the rest of the session",
        "set it with a prepared statement, or mention its name in the schema: then the session is not used again; or `savepoints`, or a `Sandbox`"),
    row(27, [Closed, Closed, Closed, Same, Silent],
        "`dblink`, a foreign server or a program connects back to the test's own database and commits there",
        "nothing: the next test gets a new copy; inside the test, a `Database` sees such rows as production does"),
    row(28, [Closed, Closed, Closed, Same, Silent],
        "a client that a test started reconnects with the test's URL after the test",
        "end the client with its test: ebbtide renames or drops the database of the URL"),
    row(29, [Documented, Documented, Documented, Silent, Silent],
        "two tests that create the same role at the same time wait for each other, or the second one fails",
        "different names in each test, or roles that a migration creates"),
    row(30, [Closed, Closed, Closed, Same, Closed],
        "`setseed`, loaded libraries and links to other databases are session state that no `RESET` undoes",
        "nothing: such a session is not used again"),
];
