//! The report on a test that failed: what it used, the server's errors, and its lock waits.

use std::time::{Duration, SystemTime};

use super::active_tests::TestPresence;
use super::in_use::LaneInUse;
use super::lane_use::LaneUse;
use super::pool::LanePool;
use crate::config::format_duration;
use crate::guard;
use crate::names::DatabaseName;
use crate::server::LogEntry;
use crate::test_error_help;

// A report should fit on one screen. What exceeds these limits is only counted.
const MAX_ERRORS: usize = 4;
const MAX_WAITS: usize = 3;
const MAX_PLANS: usize = 3;
const MAX_STATEMENT_LINES: usize = 3;
const MAX_DETAIL_LINES: usize = 4;
const MAX_PLAN_LINES: usize = 20;
const MAX_LINE_CHARS: usize = 160;

/// What a report needs of a lane, collected before the lane is put back.
pub(crate) struct TestReport {
    lanes: LanePool,
    lane_use: LaneUse,
    database: DatabaseName,
    since: SystemTime,
    /// The end of the test. Later entries of the server's log belong to ebbtide's own statements.
    until: SystemTime,
    waits: Vec<String>,
}

impl TestReport {
    pub(super) fn of(in_use: &LaneInUse) -> Self {
        let LaneInUse {
            lanes,
            lane,
            lane_use,
            ..
        } = in_use;
        let since = lane
            .presence
            .as_ref()
            .map_or_else(SystemTime::now, |presence| presence.since);
        let waits = lane
            .presence
            .as_ref()
            .map(TestPresence::waits)
            .unwrap_or_default();
        let until = SystemTime::now();
        Self {
            lanes: lanes.clone(),
            lane_use: *lane_use,
            database: lane.database.clone(),
            since,
            until,
            waits,
        }
    }

    /// The entries of the server's log for the lane's sessions, or why they cannot be read.
    pub(crate) async fn log(&self) -> Result<Vec<LogEntry>, String> {
        let mut entries = self
            .lanes
            .setting()
            .server
            .log_of(&self.database, self.since)
            .await?;
        entries.retain(|entry| entry.at <= self.until);
        Ok(entries)
    }

    /// The report on a failed test. Each line is indented.
    pub(crate) fn of_failure(&self, log: &Result<Vec<LogEntry>, String>) -> String {
        let mut text = format!("  it had {}\n", self.description());
        match log {
            Ok(entries) => self.push_errors(&mut text, entries),
            Err(reason) => {
                push_line(
                    &mut text,
                    &format!("  the server's log cannot be read: {reason}"),
                );
            }
        }
        for wait in self.waits.iter().take(MAX_WAITS) {
            push_indented(&mut text, "  ", wait, 2);
        }
        text
    }

    /// The report on slow statements. Empty if there were none, or if the plan does not request it.
    pub(crate) fn of_slow_statements(&self, log: &Result<Vec<LogEntry>, String>) -> String {
        let Some(limit) = self.lanes.setting().log_plans_slower_than else {
            return String::new();
        };
        let mut text = String::new();
        match log {
            Ok(entries) => {
                let plan = of_plan(self.lanes.setting().plan.as_deref());
                push_plans(&mut text, entries, limit, &plan);
            }
            Err(reason) => {
                push_line(
                    &mut text,
                    &format!("  no plans, because the server's log cannot be read: {reason}"),
                );
            }
        }
        text
    }

    fn description(&self) -> String {
        let server = &self.lanes.setting().server;
        let version = server.version.split(' ').next().unwrap_or_default();
        let role = self.lanes.setting().test_role.as_ref();
        let role = role.map_or(String::new(), |role| format!(", as role {}", role.name));
        format!(
            "a {}{}: {} on PostgreSQL {version} ({}){role}",
            self.lane_use.public_type(),
            of_plan(self.lanes.setting().plan.as_deref()),
            self.database.as_str(),
            server.backend
        )
    }

    fn push_errors(&self, text: &mut String, entries: &[LogEntry]) {
        let mut errors: Vec<(&LogEntry, usize)> = Vec::new();
        let of_test = entries
            .iter()
            .filter(|entry| is_error(entry) && !guard::is_own_statement(&entry.statement));
        for entry in of_test {
            match errors.last_mut() {
                // After an error, each later statement of the transaction fails with the same error
                // 25P02.
                Some((last, count)) if last.code == entry.code && last.message == entry.message => {
                    *count += 1;
                }
                _ => errors.push((entry, 1)),
            }
        }
        if errors.is_empty() {
            text.push_str("  the server refused nothing\n");
            return;
        }
        text.push_str("  the server refused:\n");
        for (entry, count) in errors.iter().take(MAX_ERRORS) {
            let times = if *count > 1 {
                format!(" ({count} times)")
            } else {
                String::new()
            };
            push_indented(
                text,
                "    ",
                &format!("{} {}{times}", entry.code, entry.message),
                2,
            );
            push_part(text, "detail", &entry.detail, MAX_DETAIL_LINES);
            push_part(text, "hint", &entry.hint, 2);
            push_part(text, "statement", &entry.statement, MAX_STATEMENT_LINES);
            let absent = self.lanes.setting().absent_migrations.as_deref();
            let of_absence = absent.and_then(|absent| {
                test_error_help::help_for_absent_migrations(&entry.code, absent)
            });
            let help = || {
                let isolation = self.lane_use.isolation();
                test_error_help::help_for_test_error(&entry.code, &entry.message, isolation)
            };
            let role = self.lanes.setting().test_role.as_ref();
            let of_role =
                || test_error_help::help_for_role(&entry.code, &entry.message, &role?.name);
            if let Some(help) = of_absence.or_else(of_role).or_else(help) {
                push_line(text, &format!("      help: {help}"));
            }
        }
        if errors.len() > MAX_ERRORS {
            push_line(text, &format!("    and {} more", errors.len() - MAX_ERRORS));
        }
    }
}

/// What names the plan of a database in reports. The default plan has no name.
pub(crate) fn of_plan(plan: Option<&str>) -> String {
    plan.map_or_else(String::new, |plan| format!(" of plan {plan}"))
}

fn push_plans(text: &mut String, entries: &[LogEntry], limit: Duration, of_plan: &str) {
    let plans: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry, entry.message.split_once("  plan:\n")?)))
        .collect();
    for (_, (duration, plan)) in plans.iter().take(MAX_PLANS) {
        let duration = duration.trim_start_matches("duration: ");
        push_line(
            text,
            &format!(
                "  {duration}{of_plan}, more than {}:",
                format_duration(limit)
            ),
        );
        push_plan(text, plan);
    }
    if plans.len() > MAX_PLANS {
        push_line(
            text,
            &format!("  and {} more statements", plans.len() - MAX_PLANS),
        );
    }
}

fn push_plan(text: &mut String, plan: &str) {
    for line in plan.lines().take(MAX_PLAN_LINES) {
        push_line(text, &format!("    {}", truncated(line)));
    }
}

fn is_error(entry: &LogEntry) -> bool {
    matches!(&*entry.severity, "ERROR" | "FATAL" | "PANIC")
}

fn push_part(text: &mut String, label: &str, part: &str, lines: usize) {
    if !part.is_empty() {
        push_indented(text, "      ", &format!("{label}: {part}"), lines);
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Adds the first lines of a text, indented.
fn push_indented(text: &mut String, indent: &str, part: &str, lines: usize) {
    for (number, line) in part.lines().take(lines).enumerate() {
        let more = if number > 0 { "  " } else { "" };
        push_line(
            text,
            &format!("{indent}{more}{}", truncated(line.trim_end())),
        );
    }
    if part.lines().count() > lines {
        push_line(text, &format!("{indent}  ..."));
    }
}

fn truncated(line: &str) -> String {
    match line.char_indices().nth(MAX_LINE_CHARS) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.to_owned(),
    }
}
