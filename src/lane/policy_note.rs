//! The line that states that the schema's policies do not apply to the tests' role.

use std::io::Write as _;
use std::sync::Once;

use sqlx::postgres::PgConnection;

use super::pool::LanePool;
use crate::catalog::RoleRights;
use crate::error::Result;
use crate::template::Template;

/// One line is enough for a process: its tests usually have one role.
static PRINTED: Once = Once::new();

impl LanePool {
    /// As [`note_bypass`](Self::note_bypass), for the role that built the template.
    pub(super) fn note_bypass_of(&self, template: &Template) {
        if self.setting().test_role.is_none()
            && let Some(reason) = &template.bypass
        {
            self.note_bypass(reason);
            self.lane_locks().record_note(reason);
        }
    }

    /// Prints the line that an earlier process recorded, or that a session on an external server
    /// shows: no file of that server can record it. A lane that equals the template is used without
    /// the template, so this process may not have read it.
    pub(super) async fn note_known_bypass(&self, session: Option<&mut PgConnection>) -> Result<()> {
        let setting = self.setting();
        let session = session.filter(|_| setting.server.outlives_us());
        let can_look = session.is_some() || !setting.server.outlives_us();
        if !can_look
            || !setting.notes_bypass
            || setting.test_role.is_some()
            || !self.is_first_look_for_note()
        {
            return Ok(());
        }
        let reason = match session {
            Some(session) => {
                let rights = RoleRights::of_session(session).await;
                let failed = |error| self.diagnose("reading the role's rights", error);
                rights.map_err(failed)?.bypasses
            }
            None => self.lane_locks().note(),
        };
        if let Some(reason) = &reason {
            self.note_bypass(reason);
        }
        Ok(())
    }

    /// Prints the line once for this process, unless the plan names the role.
    pub(super) fn note_bypass(&self, reason: &str) {
        if !self.setting().notes_bypass {
            return;
        }
        PRINTED.call_once(|| {
            // Not `eprintln!`: the test harness would capture it for the test that runs first. If
            // stderr is closed, no person reads it.
            let _ = writeln!(
                std::io::stderr(),
                "ebbtide: the policies of row level security do not apply to the tests, because \
                 {reason}; set test.role in ebbtide.toml (or EBBTIDE_TEST_ROLE) to the role that \
                 the application uses"
            );
        });
    }
}
