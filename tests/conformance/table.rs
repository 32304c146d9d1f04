//! What every probe is expected to say.

use std::fmt;

/// What a test sees of a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there, and the test behaves as on a database of its own all the same.
    Closed,
    /// A clear error names it, and the remedy.
    Refused,
    /// There is none.
    Same,
    /// A known difference remains, and `docs/isolation.md` says what to use instead.
    Documented,
    /// Something leaked or behaved otherwise, and nobody was told.
    Silent,
    /// There is nothing by which a test could get there.
    NotApplicable,
    /// This server lacks what the probe takes. The probe prints that, and the table keeps its expected verdict.
    NotHere,
}

impl Verdict {
    const ALL: [Self; 7] = [
        Self::Closed,
        Self::Refused,
        Self::Same,
        Self::Documented,
        Self::Silent,
        Self::NotApplicable,
        Self::NotHere,
    ];

    /// The verdict that is written so.
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
            Self::NotHere => "not on this server",
        })
    }
}

/// A way to be isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tx,
    Sandbox,
    Database,
    /// A pool on a database of the test's own, made and dropped by sqlx.
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

    /// A difference that remains: ours are told in the documentation.
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

/// A hole, and what comes of it in each kind of test.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) hole: &'static str,
    /// By [`Kind::column`].
    pub(crate) expected: [Verdict; 5],
    /// What a test's author does about it.
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
        "nothing: they are put back when the test ends"),
    row(2, [Closed, Closed, Same, Same, Silent],
        "deferred constraints never run, because nothing is committed",
        "`close().await`, or `#[ebbtide::test]`: the test fails with the constraint's name"),
    row(3, [Documented, Documented, Same, Same, Silent],
        "`now()` stands still, and all statements have one transaction id",
        "`clock_timestamp()` where time must pass, or a `Database`"),
    row(4, [Documented, Documented, Same, Same, Silent],
        "`NOTIFY` is delivered at a real commit only",
        "a `Database`"),
    row(5, [Closed, Closed, Closed, Same, Closed],
        "a session's advisory locks survive a rollback",
        "nothing: they are released when the test ends"),
    row(6, [Closed, Closed, Closed, Same, Closed],
        "`SET`, `LISTEN`, `PREPARE`, temporary tables and held cursors survive in the session",
        "nothing: the next test's session is like a new one"),
    row(7, [Refused, Refused, Same, Same, Silent],
        "the code under test opens a second connection, which sees nothing of the first",
        "hand on the connection or `&mut *tx`, or a `Database`"),
    row(8, [Closed, Closed, Same, Same, Silent],
        "a stray `COMMIT` or `ROLLBACK` in SQL or in a procedure ends the test's transaction",
        "sqlx's `begin()` and `commit()`, which become savepoints; a `Database` for procedures that commit"),
    row(9, [Closed, Closed, Same, Same, Refused],
        "after a statement that failed, every other one fails too (25P02)",
        "`savepoints` for a `Tx`, or a `Sandbox`; the failure report names the first error"),
    row(10, [NotApplicable, Refused, Same, Same, NotApplicable],
        "two transactions of the application are open at once, on one connection",
        "a `Database`"),
    row(11, [Closed, Refused, Same, Same, Silent],
        "the isolation level of an inner transaction is ignored",
        "`isolation_level` for a `Tx`, or a `Database`"),
    row(12, [Documented, Documented, Same, Same, Silent],
        "`FOR UPDATE SKIP LOCKED`, `NOWAIT` and deadlocks mean nothing on one connection",
        "a `Database`, with a connection for each worker"),
    row(13, [Closed, Closed, Closed, Closed, Silent],
        "locks that a test holds to its end block other tests",
        "nothing: no two tests share a database at the same time"),
    row(14, [Refused, Refused, Same, Same, Refused],
        "`VACUUM`, `CREATE INDEX CONCURRENTLY`, `CREATE DATABASE` and `ALTER SYSTEM` run outside transactions only",
        "a `Database`"),
    row(15, [Refused, Refused, Same, Same, Refused],
        "a new value of an enum cannot be used before it is committed",
        "add it in a migration, or a `Database`"),
    row(16, [Documented, Documented, Same, Same, Silent],
        "`ON COMMIT DROP` and `ON COMMIT DELETE ROWS` never fire",
        "a `Database`"),
    row(17, [Closed, Closed, Same, Same, Closed],
        "the rollback at the end hides that the code under test rolls back badly",
        "nothing: its transactions are savepoints, and what they undo or keep is seen in the same test"),
    row(18, [Closed, Closed, Closed, Same, Silent],
        "dead rows pile up over thousands of rollbacks",
        "nothing: the database is copied anew now and then"),
    row(19, [Documented, Documented, Documented, Silent, Silent],
        "the write-ahead log is the server's: replication and logical decoding see every test",
        "a server of its own: a `Harness` with another `state_dir`"),
    row(20, [Closed, Closed, Closed, Same, Silent],
        "something that the test has started goes on after its end",
        "end or await it: its connection is ended or was never the next test's"),
    row(21, [Closed, Closed, Documented, Silent, Closed],
        "roles, databases, tablespaces and `ALTER SYSTEM` belong to the server: what a test makes of them stays",
        "names that differ from test to test, and removing them in the test; a server of its own where they are the subject"),
    row(22, [Documented, Documented, Same, Same, Silent],
        "`SET LOCAL` and `set_config(.., true)` outlive the application's own commit, which releases a savepoint",
        "a prepared statement in a `Sandbox`, whose settings end when the connection is back in the pool; a `Database`"),
    row(23, [Documented, Documented, Same, Same, Silent],
        "`pg_advisory_xact_lock` outlives the application's own commit",
        "a `Database`, where another session waits for the lock"),
    row(24, [Closed, Closed, Closed, Same, Silent],
        "without `ORDER BY`, rows come back in an order that depends on what earlier tests wrote and deleted",
        "nothing: new rows lie as on a new database; production needs the `ORDER BY` all the same"),
    row(25, [Closed, Closed, Closed, Same, Silent],
        "the planner's estimates, and so its plans, depend on what earlier tests wrote or analyzed",
        "nothing: tables have the size and the statistics that the migrations left"),
    row(26, [Documented, Closed, Closed, Same, Closed],
        "a custom setting that was set once is `''` and not NULL for the rest of the session",
        "a prepared statement, or a name that the schema mentions: such a session is not used again; `savepoints`, or a `Sandbox`"),
    row(27, [Closed, Closed, Closed, Same, Silent],
        "`dblink`, a foreign server or a program leads back into the test's own database and commits there",
        "nothing: the next test gets a new copy; inside the test, a `Database` sees such rows as production does"),
    row(28, [Closed, Closed, Closed, Same, Silent],
        "a client that a test has started reconnects with the URL of its test when that is over",
        "end the client with its test: its URL leads nowhere afterwards"),
    row(29, [Documented, Documented, Documented, Silent, Silent],
        "two tests that create the same role at the same time wait for each other, or the second one fails",
        "names that differ from test to test, or roles made by a migration"),
    row(30, [Closed, Closed, Closed, Same, Closed],
        "`setseed`, loaded libraries and links to other databases are session state that no `RESET` undoes",
        "nothing: a session that has had one is not used again"),
];
