//! Repeats a test for clients that are not asynchronous.

use std::collections::BTreeSet;

use ebbtide::Database;

/// Runs a test on five databases, one after the other, and asserts that a lane was reused.
///
/// It does not need the attribute `#[ebbtide::test]`.
pub(crate) fn on_five_databases<E>(
    mut test: impl FnMut(&Database) -> Result<(), E>,
) -> Result<(), Box<dyn std::error::Error>>
where
    Box<dyn std::error::Error>: From<E>,
{
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let database = ebbtide::blocking::database()?;
        test(&database)?;
        // The part of the name that identifies the lane; the rest changes with each test.
        names.insert(
            database
                .name()
                .rsplit_once('_')
                .map(|(lane, _)| lane.to_owned()),
        );
        ebbtide::blocking::close(database)?;
    }
    assert!(names.len() < 5, "no lane was used twice: {names:?}");
    Ok(())
}
