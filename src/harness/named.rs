//! The harness of each named plan of `ebbtide.toml`, once for this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Harness;
use crate::config::Builder;
use crate::error::Result;

/// By the plan's name. A failure is kept as well, so that every test reports the same error.
static HARNESSES: Mutex<BTreeMap<String, Result<Harness>>> = Mutex::new(BTreeMap::new());

impl Harness {
    /// The process's harness of a named plan, resolved from `ebbtide.toml` and the environment on
    /// the first call with this name.
    ///
    /// The section `[plan.audit.provision]` describes the contents of the plan `audit`, see
    /// [Several databases](crate#several-databases). Plans with equal server settings share one
    /// server, which each harness starts or finds on first use.
    ///
    /// A test with the attribute takes its databases as arguments: `#[plan("audit")] audit:
    /// Database`. Then ebbtide waits for the connections of all of them at once. A test that opens
    /// one database after the other holds the first while it waits for the second.
    ///
    /// # Errors
    /// - [`Config`](crate::ErrorKind::Config): the file has no such plan, or the plan sets no
    ///   migrations.
    /// - As for [`Builder::build`].
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = ebbtide::Harness::named("audit")?.tx().await?;
    /// let count = "select count(*) from events";
    /// let events: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn named(plan: &str) -> Result<Self> {
        HARNESSES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(plan.to_owned())
            .or_insert_with(|| Builder::new().plan(plan).build_for_process())
            .clone()
    }
}
