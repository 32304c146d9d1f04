//! The application's savepoints, and those of checkpoints among them.
//!
//! ```text
//!  SAVEPOINT a              [..]        --> [.., a]
//!  RELEASE a                [.., a, b]  --> [..]
//!  ROLLBACK TO a            [.., a, b]  --> [.., a], or [..] if sqlx named it
//!  COMMIT, ROLLBACK         [..]        --> []
//! ```
//!
//! The relay adds its own savepoint only while this list has none of the application's. Otherwise a
//! transaction of the application is open, and a failed statement must fail that transaction.

use super::client_sql::{StatementKind, is_checkpoint};

/// The open savepoints, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Savepoints(Vec<OpenSavepoint>);

#[derive(Debug)]
struct OpenSavepoint {
    name: String,
    /// Whether the relay's savepoint was set when this one was, and so encloses it.
    is_in_batch: bool,
}

impl Savepoints {
    /// Whether a transaction of the application is open.
    pub(super) fn has_application(&self) -> bool {
        self.0.iter().any(|open| !is_checkpoint(&open.name))
    }

    /// The end of the transaction destroys all savepoints.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Applies a statement that the server has completed. `is_batch_set` is whether the relay's
    /// savepoint is set. Returns whether it still is.
    pub(super) fn apply(&mut self, statement: StatementKind, is_batch_set: bool) -> bool {
        match statement {
            StatementKind::Savepoint(name) => self.0.push(OpenSavepoint {
                name,
                is_in_batch: is_batch_set,
            }),
            // It releases the savepoints set after it, too.
            // https://www.postgresql.org/docs/current/sql-release-savepoint.html
            StatementKind::Release(name) => {
                if let Some(index) = self.innermost(&name) {
                    self.0.truncate(index);
                }
            }
            StatementKind::RollBackTo(name) => {
                if let Some(index) = self.innermost(&name) {
                    // PostgreSQL keeps the savepoint. But sqlx rolls back to a savepoint only at
                    // the end of sqlx's transaction, which is then over.
                    let remains = !name.starts_with("_sqlx_savepoint_");
                    // A checkpoint may be older than the relay's savepoint, which the rollback then
                    // has destroyed.
                    let is_batch_set = is_batch_set && self.0[index].is_in_batch;
                    self.0.truncate(index + usize::from(remains));
                    return is_batch_set;
                }
            }
            // It destroys the relay's savepoint, even if `AND CHAIN` has begun another transaction.
            StatementKind::EndTransaction => {
                self.0.clear();
                return false;
            }
            StatementKind::Other => {}
        }
        is_batch_set
    }

    fn innermost(&self, name: &str) -> Option<usize> {
        // Several savepoints may have one name. Commands refer to the latest of them.
        self.0.iter().rposition(|open| open.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_sql::ClientSql;
    use super::*;

    /// The savepoints that are left, and whether the relay's is still set.
    fn after(text: &str, mut is_batch_set: bool) -> (Savepoints, bool) {
        let mut savepoints = Savepoints::default();
        for statement in ClientSql::parse(text).statements {
            is_batch_set = savepoints.apply(statement, is_batch_set);
        }
        (savepoints, is_batch_set)
    }

    fn left_by(text: &str) -> Vec<String> {
        let (savepoints, _) = after(text, true);
        savepoints.0.into_iter().map(|open| open.name).collect()
    }

    #[test]
    fn leaving_a_savepoint_leaves_those_within_it() {
        assert_eq!(
            left_by("savepoint a; savepoint b; savepoint c; release b"),
            ["a"]
        );
        assert_eq!(
            left_by("savepoint a; savepoint b; savepoint c; rollback to b"),
            ["a", "b"]
        );
        assert_eq!(left_by("savepoint a; savepoint a; release a"), ["a"]);
        assert_eq!(
            left_by("savepoint a; release b; rollback to c; select 1"),
            ["a"]
        );
        assert_eq!(left_by("savepoint a; rollback"), [""; 0]);
    }

    #[test]
    fn the_drivers_transactions_end_with_their_rollback() {
        assert_eq!(
            left_by("SAVEPOINT _sqlx_savepoint_1; ROLLBACK TO SAVEPOINT _sqlx_savepoint_1"),
            [""; 0]
        );
    }

    #[test]
    fn a_checkpoint_is_no_transaction_of_the_application() {
        let checkpoint = "savepoint _ebbtide_checkpoint_1";
        assert!(!after(checkpoint, false).0.has_application());
        let (savepoints, _) = after(&format!("{checkpoint}; savepoint a"), false);
        assert!(savepoints.has_application());
        let rewound = format!("{checkpoint}; savepoint a; rollback to _ebbtide_checkpoint_1");
        assert!(!after(&rewound, false).0.has_application());
        assert_eq!(left_by(&rewound), ["_ebbtide_checkpoint_1"]);
    }

    #[test]
    fn a_rewind_destroys_a_younger_savepoint_of_the_relay_and_keeps_an_older_one() {
        let mut savepoints = Savepoints::default();
        let statements = |text: &str| ClientSql::parse(text).statements.remove(0);
        let rewind = || statements("rollback to _ebbtide_checkpoint_1");
        assert!(!savepoints.apply(statements("savepoint _ebbtide_checkpoint_1"), false));
        assert!(savepoints.apply(statements("savepoint a"), true));
        assert!(!savepoints.apply(rewind(), true));
        savepoints.clear();
        let nested = "savepoint a; savepoint _ebbtide_checkpoint_1";
        for statement in ClientSql::parse(nested).statements {
            assert!(savepoints.apply(statement, true));
        }
        assert!(savepoints.apply(rewind(), true));
        assert!(savepoints.has_application());
    }
}
