//! What a person wants to know of a test that failed: what it used, what the server refused, who waited for whom.

use std::time::{Duration, SystemTime};

use super::active_tests::TestPresence;
use super::guard;
use super::leased::Lane;
use super::pool::LanePool;
use crate::advice::{self, Isolation};
use crate::config::spell;
use crate::names::DatabaseName;
use crate::server::LogEntry;

/// A screen is what people read: more than that is counted, not shown.
const ERRORS: usize = 4;
const WAITS: usize = 3;
const PLANS: usize = 3;
const STATEMENT_LINES: usize = 3;
const DETAIL_LINES: usize = 4;
const PLAN_LINES: usize = 20;
const WIDTH: usize = 160;

/// What is gathered of a lane before it is taken back.
pub(crate) struct TestReport {
    lanes: LanePool,
    isolation: Isolation,
    database: DatabaseName,
    since: SystemTime,
    /// The end of the test. What the server says afterwards, it says to ebbtide.
    until: SystemTime,
    waits: Vec<String>,
}

impl TestReport {
    pub(super) fn of(lanes: &LanePool, lane: &Lane, isolation: Isolation) -> Self {
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
            isolation,
            database: lane.database.clone(),
            since,
            until,
            waits,
        }
    }

    /// What the server's log says of the lane's sessions, or why it cannot be told.
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

    /// Tells of a test that failed, each line indented.
    pub(crate) fn of_failure(&self, log: &Result<Vec<LogEntry>, String>) -> String {
        let mut text = format!("  it had {}\n", self.what());
        match log {
            Ok(entries) => self.tell_errors(&mut text, entries),
            Err(reason) => {
                push_line(
                    &mut text,
                    &format!("  the server's log cannot be read: {reason}"),
                );
            }
        }
        for wait in self.waits.iter().take(WAITS) {
            push(&mut text, "  ", wait, 2);
        }
        text
    }

    /// Tells of slow statements, where that was asked for; empty when there were none.
    pub(crate) fn of_slow_statements(&self, log: &Result<Vec<LogEntry>, String>) -> String {
        let Some(limit) = self.lanes.setting().log_plans_slower_than else {
            return String::new();
        };
        let mut text = String::new();
        match log {
            Ok(entries) => tell_plans(&mut text, entries, limit),
            Err(reason) => {
                push_line(
                    &mut text,
                    &format!("  no plans, because the server's log cannot be read: {reason}"),
                );
            }
        }
        text
    }

    fn what(&self) -> String {
        let server = &self.lanes.setting().server;
        let isolation = match self.isolation {
            Isolation::Transaction => "a Tx",
            Isolation::Sandbox => "a Sandbox",
            Isolation::Database => "a Database",
        };
        let version = server.version.split(' ').next().unwrap_or_default();
        format!(
            "{isolation}: {} on PostgreSQL {version} ({})",
            self.database.as_str(),
            server.backend
        )
    }

    fn tell_errors(&self, text: &mut String, entries: &[LogEntry]) {
        let mut errors: Vec<(&LogEntry, usize)> = Vec::new();
        let of_test = entries
            .iter()
            .filter(|entry| is_error(entry) && !guard::is_own(&entry.statement));
        for entry in of_test {
            match errors.last_mut() {
                // The shadows of the first error are many.
                Some((last, count)) if last.code == entry.code && last.message == entry.message => {
                    *count += 1
                }
                _ => errors.push((entry, 1)),
            }
        }
        if errors.is_empty() {
            text.push_str("  the server refused nothing\n");
            return;
        }
        text.push_str("  the server refused:\n");
        for (entry, count) in errors.iter().take(ERRORS) {
            let times = if *count > 1 {
                format!(" ({count} times)")
            } else {
                String::new()
            };
            push(
                text,
                "    ",
                &format!("{} {}{times}", entry.code, entry.message),
                2,
            );
            push_part(text, "detail", &entry.detail, DETAIL_LINES);
            push_part(text, "hint", &entry.hint, 2);
            push_part(text, "statement", &entry.statement, STATEMENT_LINES);
            let absent = self.lanes.setting().absent_migrations.as_deref();
            let of_absence =
                absent.and_then(|absent| advice::on_absent_migrations(&entry.code, absent));
            let help = || advice::on_test_error(&entry.code, &entry.message, self.isolation);
            if let Some(help) = of_absence.or_else(help) {
                push_line(text, &format!("      help: {help}"));
            }
        }
        if errors.len() > ERRORS {
            push_line(text, &format!("    and {} more", errors.len() - ERRORS));
        }
    }
}

fn tell_plans(text: &mut String, entries: &[LogEntry], limit: Duration) {
    let plans: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry, entry.message.split_once("  plan:\n")?)))
        .collect();
    for (_, (duration, plan)) in plans.iter().take(PLANS) {
        let duration = duration.trim_start_matches("duration: ");
        push_line(text, &format!("  {duration}, more than {}:", spell(limit)));
        push_plan(text, plan);
    }
    if plans.len() > PLANS {
        push_line(
            text,
            &format!("  and {} more statements", plans.len() - PLANS),
        );
    }
}

fn push_plan(text: &mut String, plan: &str) {
    for line in plan.lines().take(PLAN_LINES) {
        push_line(text, &format!("    {}", shortened(line)));
    }
}

fn is_error(entry: &LogEntry) -> bool {
    matches!(&*entry.severity, "ERROR" | "FATAL" | "PANIC")
}

fn push_part(text: &mut String, label: &str, part: &str, lines: usize) {
    if !part.is_empty() {
        push(text, "      ", &format!("{label}: {part}"), lines);
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Adds a text, indented, its first lines only.
fn push(text: &mut String, indent: &str, part: &str, lines: usize) {
    for (number, line) in part.lines().take(lines).enumerate() {
        let more = if number > 0 { "  " } else { "" };
        push_line(
            text,
            &format!("{indent}{more}{}", shortened(line.trim_end())),
        );
    }
    if part.lines().count() > lines {
        push_line(text, &format!("{indent}  ..."));
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.to_owned(),
    }
}
