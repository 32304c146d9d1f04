//! The application's savepoints.
//!
//! ```text
//!  SAVEPOINT a              [..]        --> [.., a]
//!  RELEASE a                [.., a, b]  --> [..]
//!  ROLLBACK TO a            [.., a, b]  --> [.., a], or [..] if sqlx named it
//!  COMMIT, ROLLBACK         [..]        --> []
//! ```
//!
//! The relay adds its own savepoint only while this list is empty. Otherwise a transaction of the
//! application is open, and a failed statement must fail that transaction.

use super::client_sql::StatementKind;

/// The names of the open savepoints, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Savepoints(Vec<String>);

impl Savepoints {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The end of the transaction destroys all savepoints.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Applies a statement that the server has completed.
    pub(super) fn apply(&mut self, statement: StatementKind) {
        match statement {
            StatementKind::Savepoint(name) => self.0.push(name),
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
                    self.0.truncate(index + usize::from(remains));
                }
            }
            StatementKind::EndTransaction => self.0.clear(),
            StatementKind::Other => {}
        }
    }

    fn innermost(&self, name: &str) -> Option<usize> {
        // Several savepoints may have one name. Commands refer to the latest of them.
        self.0.iter().rposition(|known| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_sql::ClientSql;
    use super::*;

    fn left_by(text: &str) -> Vec<String> {
        let mut savepoints = Savepoints::default();
        ClientSql::parse(text)
            .statements
            .into_iter()
            .for_each(|statement| savepoints.apply(statement));
        savepoints.0
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
}
