//! The constraints that a commit would check.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::exchange::last_row;
use super::message::close;

/// A cache of the deferrable constraints of a template. The first test that closes fills it, so the
/// later ones need no query.
#[derive(Debug, Default)]
pub(crate) struct DeferrableConstraints(Mutex<Option<KnownConstraints>>);

#[derive(Debug, Clone)]
struct KnownConstraints {
    /// The role for which the names were read. Another role may lack the privilege to name them.
    user: String,
    /// The argument of `SET CONSTRAINTS`, or `None` if there is no deferrable constraint.
    names: Option<String>,
}

impl DeferrableConstraints {
    /// The cache for a template without deferrable constraints.
    pub(crate) fn absent() -> Self {
        // Only names depend on the role, and there are none.
        Self(Mutex::new(Some(KnownConstraints {
            user: String::new(),
            names: None,
        })))
    }

    /// Whether the template certainly has no deferrable constraint.
    pub(crate) fn are_absent(&self) -> bool {
        // Only the names depend on the role. If there is no constraint for one role, there is none
        // for any.
        self.cached()
            .as_ref()
            .is_some_and(|known| known.names.is_none())
    }

    /// The argument of `SET CONSTRAINTS` for the constraints that a commit would check. If the test
    /// may have added some (`is_changed`), they are read from the lane and not cached.
    pub(super) async fn names(
        &self,
        connection: &mut PgConnection,
        user: &str,
        is_changed: bool,
    ) -> Result<Option<String>, sqlx::Error> {
        let known = self
            .cached()
            .clone()
            .filter(|known| !is_changed && known.user == user);
        if let Some(known) = known {
            return Ok(known.names);
        }
        // No lock is held across the query. Two tests that end at once may both read, and both
        // write the same.
        let row = last_row(connection, close::deferrable()).await?;
        let names: Option<&str> = row.try_get_unchecked(0)?;
        let names = names.map(str::to_owned);
        if !is_changed {
            *self.cached() = Some(KnownConstraints {
                user: user.to_owned(),
                names: names.clone(),
            });
        }
        Ok(names)
    }

    fn cached(&self) -> MutexGuard<'_, Option<KnownConstraints>> {
        // Each holder replaces the whole value, so it is valid even if a holder has panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
