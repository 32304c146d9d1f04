//! What clients that are not asynchronous share.

use std::collections::BTreeSet;

use ebbtide::Database;

/// Does the same on one database after the other, and asserts that one of them came again. Without the attribute it works
/// as well.
pub(crate) fn in_turns<E>(
    mut test: impl FnMut(&Database) -> Result<(), E>,
) -> Result<(), Box<dyn std::error::Error>>
where
    Box<dyn std::error::Error>: From<E>,
{
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let database = ebbtide::blocking::database()?;
        test(&database)?;
        // Its number: the end of the name changes after each test.
        names.insert(
            database
                .name()
                .rsplit_once('_')
                .map(|(lane, _)| lane.to_owned()),
        );
        ebbtide::blocking::close(database)?;
    }
    assert!(names.len() < 5, "none of them was used twice: {names:?}");
    Ok(())
}
