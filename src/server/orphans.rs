//! Removes what servers without a living supervisor left behind.
//!
//! Every start sweeps the whole state directory, because a machine that is switched off or an
//! out-of-memory killer leaves no process that could clean up. What is removed, in this order:
//!
//! ```text
//!   Orphaned instance
//!      |--- leased, and the server runs ------>  taken over (`adoption`), nothing is removed
//!      v
//!   pointer          no process joins the server from here on
//!   what the backends have outside the instance directory: processes, data
//!   instance directory, last: its marks are what makes the rest recognisable
//! ```

use std::path::Path;
use std::time::Duration;

use super::adoption::{self, Adoption};
use super::backend::{Backends, supervised};
use super::pointers;
use super::registry::{Health, Registry};
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Account;
use crate::wait::Polling;

/// How long a directory of an orphan may take to become removable.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for the sweep of another process, which may end several servers in turn.
const SWEEP_TIMEOUT: Duration = Duration::from_mins(1);

/// Ends and removes every orphaned server in the state directory. Those in use get a new supervisor
/// instead.
///
/// The caller holds the start-up lock of its own key.
///
/// # Errors
/// Another sweep takes longer than a minute, a process does not end, or a directory cannot be
/// removed.
pub(super) async fn sweep(
    backends: Backends,
    registry: &Registry,
    plan: &Plan,
    account: Option<Account>,
) -> Result<()> {
    // Every process takes this lock after the start-up lock of its key. A holder of this lock never
    // waits for a start-up lock, so no two processes wait for each other.
    let _lock = registry.sweep_lock(SWEEP_TIMEOUT).await?;
    for instance in registry.instances() {
        // In every other state, a living supervisor or deputy removes the instance itself.
        if instance.health() != Health::Orphaned {
            continue;
        }
        if adoption::adopt(backends, registry, &instance, plan).await? == Adoption::Adopted {
            continue;
        }
        tracing::info!(
            instance = instance.name(),
            "removing a server without a supervisor"
        );
        registry.remove_pointer_to(&instance);
        // Every backend looks for its part: a supervisor that was killed early has not written
        // which backend it belongs to.
        for backend in supervised(backends) {
            backend.remove_orphan(registry, &instance, account).await?;
        }
        // Last: if this process is killed before, the next sweep finds the rest by this directory.
        remove(&instance.dir).await?;
    }
    for backend in supervised(backends) {
        backend.remove_strays(registry, account).await?;
    }
    pointers::sweep(registry);
    Ok(())
}

/// Removes a directory, also one into which an ending process still writes.
///
/// # Errors
/// The directory is not empty after the timeout, or cannot be removed.
pub(super) async fn remove(dir: &Path) -> Result<()> {
    let mut polling = Polling::new("removing a dead server", REMOVE_TIMEOUT);
    loop {
        match std::fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            // Another process may have removed it first: `prune_cache` runs without the sweep lock.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                polling.pause(format!("{}: {error}", dir.display())).await?;
            }
            Err(error) => {
                return Err(Error::new(
                    ErrorKind::StateDir,
                    format!("{} cannot be removed", dir.display()),
                )
                .with_source(error)
                .with_help(format!(
                    "the directory belongs to a dead server: remove it with `rm -rf {}`",
                    dir.display()
                )));
            }
        }
    }
}
