//! Waits for the connections of all arguments of a test before the first one is made.
//!
//! ```text
//!  argument, argument_of_plan     announce: plan and need of each argument
//!          v
//!  reserve                        a Reservation for each server, in the servers' order
//!          v
//!  the arguments are made         each LaneRequest takes its permits from a Reservation
//!          v
//!  ReservedLanes is dropped       permits that no argument has taken are released
//! ```
//!
//! A test that has one database and waits for a second one can wait for ever, if all others do the
//! same (see `lane/reservation`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::TestContext;
use super::lane_need::LaneNeed;
use crate::error::Result;
use crate::lane::LanePool;

/// The connections that a test has reserved. Dropping the value releases those that are left.
#[derive(Debug)]
#[must_use = "the reservation ends when it is dropped"]
pub struct ReservedLanes(TestContext);

impl Drop for ReservedLanes {
    fn drop(&mut self) {
        self.0.set_reservations(Vec::new());
    }
}

/// How many lanes a test needs of one plan, or of one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LaneCount {
    databases: usize,
    others: usize,
    has_pool: bool,
}

impl LaneCount {
    fn add(&mut self, need: LaneNeed, pool: LaneNeed) {
        match need {
            LaneNeed::Connection => self.others += 1,
            LaneNeed::Database | LaneNeed::Unknown => self.databases += 1,
            LaneNeed::Pool if self.has_pool => {}
            LaneNeed::Pool => {
                self.has_pool = true;
                self.add(pool, pool);
            }
        }
    }
}

/// Waits until the announced arguments can have all connections that they need.
///
/// A test of the default plan alone reserves only if it has several databases: of tests that need
/// one connection each, too many would have to wait at once.
///
/// # Errors
/// Every test that has connections waits for more, or a server is gone. If a plan's server or
/// template cannot be used, the argument itself reports it.
pub async fn reserve(context: &TestContext) -> Result<ReservedLanes> {
    let reserved = ReservedLanes(context.clone());
    let counts = counts(&context.announced(), context.pool_need());
    if !needs_reservation(&counts) {
        return Ok(reserved);
    }
    let mut servers: Vec<(LanePool, LaneCount)> = Vec::new();
    for (plan, count) in counts {
        let Ok(harness) = context.on_plan(plan.as_deref()).harness() else {
            continue;
        };
        let Ok(lanes) = harness.lanes().await else {
            continue;
        };
        match servers
            .iter_mut()
            .find(|(other, _)| other.shares_permits_with(&lanes))
        {
            Some((_, all)) => {
                all.databases += count.databases;
                all.others += count.others;
            }
            None => servers.push((lanes, count)),
        }
    }
    servers.sort_by(|(one, _), (other, _)| one.server_order().cmp(other.server_order()));
    let mut reservations = Vec::new();
    for (
        lanes,
        LaneCount {
            databases, others, ..
        },
    ) in servers
    {
        // The test holds what it has reserved before while it waits here.
        let reservation = lanes
            .reserve(context.test_name(), databases, others)
            .await?;
        reservations.push(Arc::new(reservation));
    }
    context.set_reservations(reservations);
    Ok(reserved)
}

/// The lanes of each plan.
fn counts(
    announced: &[(Option<Arc<str>>, LaneNeed)],
    pool: LaneNeed,
) -> BTreeMap<Option<Arc<str>>, LaneCount> {
    let mut counts: BTreeMap<_, LaneCount> = BTreeMap::new();
    for (plan, need) in announced {
        counts.entry(plan.clone()).or_default().add(*need, pool);
    }
    counts
}

fn needs_reservation(counts: &BTreeMap<Option<Arc<str>>, LaneCount>) -> bool {
    let sum = |count: fn(&LaneCount) -> usize| counts.values().map(count).sum::<usize>();
    let databases = sum(|count| count.databases);
    let all = databases + sum(|count| count.others);
    databases > 1 || (all > 1 && counts.keys().any(Option::is_some))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_of(announced: &[(Option<&str>, LaneNeed)]) -> (Vec<(usize, usize)>, bool) {
        let announced: Vec<_> = announced
            .iter()
            .map(|(plan, need)| (plan.map(Arc::from), *need))
            .collect();
        let counts = counts(&announced, LaneNeed::Database);
        let of_plans = counts
            .values()
            .map(|count| (count.databases, count.others))
            .collect();
        (of_plans, needs_reservation(&counts))
    }

    #[test]
    fn only_a_test_that_could_hold_one_lane_and_wait_for_another_reserves() {
        use LaneNeed::{Connection, Database, Pool, Unknown};
        let audit = Some("audit");
        for (announced, of_plans, reserves) in [
            (vec![(None, Database)], vec![(1, 0)], false),
            (
                vec![(None, Connection), (None, Connection)],
                vec![(0, 2)],
                false,
            ),
            (
                vec![(None, Connection), (None, Database)],
                vec![(1, 1)],
                false,
            ),
            (vec![(None, Database), (None, Database)], vec![(2, 0)], true),
            (vec![(None, Pool), (None, Pool)], vec![(1, 0)], false),
            (
                vec![(None, Pool), (audit, Pool)],
                vec![(1, 0), (1, 0)],
                true,
            ),
            (vec![(audit, Connection)], vec![(0, 1)], false),
            (
                vec![(audit, Connection), (None, Connection)],
                vec![(0, 1), (0, 1)],
                true,
            ),
            (
                vec![(audit, Unknown), (None, Database)],
                vec![(1, 0), (1, 0)],
                true,
            ),
        ] {
            assert_eq!(count_of(&announced), (of_plans, reserves), "{announced:?}");
        }
    }
}
