//! Repeats a test on several databases.

use std::collections::BTreeSet;
use std::error::Error;

use ebbtide::Database;

/// Enough databases for a lane to serve two of them.
const DATABASES: usize = 5;

/// Runs a test of a blocking client on five databases, one after the other, and asserts that a lane
/// was reused.
///
/// It does not need the attribute `#[ebbtide::test]`.
pub(crate) fn on_five_databases<E>(
    mut test: impl FnMut(&Database) -> Result<(), E>,
) -> Result<(), Box<dyn Error>>
where
    Box<dyn Error>: From<E>,
{
    let mut lanes = BTreeSet::new();
    for _ in 0..DATABASES {
        let database = ebbtide::blocking::database()?;
        test(&database)?;
        lanes.insert(lane_of(&database));
        ebbtide::blocking::close(database)?;
    }
    assert_reused(&lanes);
    Ok(())
}

/// Like [`on_five_databases`], inside a test with the attribute.
pub(crate) async fn on_five_databases_async<E>(
    mut test: impl AsyncFnMut(&Database) -> Result<(), E>,
) -> Result<(), Box<dyn Error>>
where
    Box<dyn Error>: From<E>,
{
    let mut lanes = BTreeSet::new();
    for _ in 0..DATABASES {
        let database = ebbtide::database().await?;
        test(&database).await?;
        lanes.insert(lane_of(&database));
        database.close().await?;
    }
    assert_reused(&lanes);
    Ok(())
}

/// The part of the name that identifies the lane; the rest changes with each test.
fn lane_of(database: &Database) -> Option<String> {
    database
        .name()
        .rsplit_once('_')
        .map(|(lane, _)| lane.to_owned())
}

fn assert_reused(lanes: &BTreeSet<Option<String>>) {
    assert!(lanes.len() < DATABASES, "no lane was used twice: {lanes:?}");
}
