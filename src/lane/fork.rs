//! Another database that begins with the state of a test's database.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::admission::Admission;
use super::in_use::LaneInUse;
use super::lane_use::LaneUse;
use super::lane_version::LaneVersion;
use super::leased::Lane;
use super::login::Login;
use super::open_database::OpenDatabase;
use super::state_copy::StateCopy;
use super::state_source::{CopyPurpose, StateSource};
use crate::error::{Error, ErrorKind, Result};

/// How long a fork waits for its connections. Its test already has some, and so may all tests that
/// wait, also those of other processes. Such a wait has no other end.
const ADMISSION_TIMEOUT: Duration = Duration::from_mins(1);

impl StateSource {
    /// Makes a fork. The future runs on the background runtime.
    pub(super) async fn fork(self) -> Result<OpenDatabase> {
        // Before the gate: the end of the source waits for a copy that has passed the gate, and
        // releases permits.
        let admission = self.admit_fork().await?;
        let held = self.version.hold().await;
        let _gate = self.gate.enter(CopyPurpose::Fork).await?;
        let copy = self.lanes.lock_state_copy(ErrorKind::Fork).await?;
        let copied = self.copy_to(&copy, &copy.database, CopyPurpose::Fork).await;
        if let Err(error) = copied {
            // The first error is the one to report. What stays is marked.
            let _ = copy.discard().await;
            return Err(error);
        }
        let version = LaneVersion::of_copy(held.for_copy(&copy.database));
        drop(held);
        Ok(self.open_fork(copy, admission, version))
    }

    async fn admit_fork(&self) -> Result<Admission> {
        let capacity = self.lanes.permits().capacity();
        let wanted = LaneUse::Fork.max_connections(capacity);
        let admitting = self.lanes.admit(&self.test, wanted);
        let admitted = tokio::time::timeout(ADMISSION_TIMEOUT, admitting).await;
        let mut admission = admitted.unwrap_or_else(|_| Err(self.not_admitted()))?;
        // The turn keeps lanes in the order of the tests. A fork takes none of those lanes.
        admission.end_turn();
        Ok(admission)
    }

    fn not_admitted(&self) -> Error {
        let message = format!(
            "no connection became free for a fork of test {} within {} s",
            self.test,
            ADMISSION_TIMEOUT.as_secs()
        );
        let limits = self.lanes.setting().server.connection_limits();
        Error::new(ErrorKind::OutOfConnections, message).with_help(format!(
            "{limits}: raise what is too low, close forks that are no longer needed, or run fewer \
             tests at once"
        ))
    }

    fn open_fork(
        &self,
        copy: StateCopy,
        admission: Admission,
        version: LaneVersion,
    ) -> OpenDatabase {
        let lane = Lane {
            session_database: copy.database.clone(),
            database: copy.database,
            connection: None,
            session_name: self.test.clone(),
            login: Login::Test,
            lock: copy.lock,
            uses: 0,
            session_count: None,
            url_was_read: AtomicBool::new(false),
            admission,
            presence: None,
            _held_count: copy.held_count,
        };
        let lane = self.lanes.hand_out(lane, &self.test);
        OpenDatabase::of(
            LaneInUse {
                lanes: self.lanes.clone(),
                lane,
                test: self.test.clone(),
                lane_use: LaneUse::Fork,
            },
            version,
        )
    }
}
