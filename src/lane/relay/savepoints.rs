//! The savepoints that the application has set and not left.

use super::script::Step;

/// By their names, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Savepoints(Vec<String>);

impl Savepoints {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The transaction is over, and they with it.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A statement has been done.
    pub(super) fn follow(&mut self, step: Step) {
        match step {
            Step::Savepoint(name) => self.0.push(name),
            Step::Release(name) => {
                if let Some(place) = self.innermost(&name) {
                    self.0.truncate(place);
                }
            }
            Step::RollBackTo(name) => {
                if let Some(place) = self.innermost(&name) {
                    // PostgreSQL keeps it, but the driver's transaction is over.
                    let stays = !name.starts_with("_sqlx_savepoint_");
                    self.0.truncate(place + usize::from(stays));
                }
            }
            Step::End => self.0.clear(),
            Step::Other => {}
        }
    }

    fn innermost(&self, name: &str) -> Option<usize> {
        self.0.iter().rposition(|known| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn left_by(text: &str) -> Vec<String> {
        let mut savepoints = Savepoints::default();
        Script::of(text)
            .steps
            .into_iter()
            .for_each(|step| savepoints.follow(step));
        savepoints.0
    }

    #[test]
    fn whoever_leaves_one_leaves_those_within_it() {
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
