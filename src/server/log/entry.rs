//! Parses a server's log into messages, each with its detail, hint, context and statement.

use std::time::{Duration, SystemTime};

/// The value of `log_line_prefix`. Each line of a session begins with the time, the pid, the time
/// as seconds since the epoch, the SQLSTATE, the database and the application name.
/// <https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-LOG-LINE-PREFIX>
pub(in crate::server) const LOG_LINE_PREFIX: &str = "%m [%p] %q%n %e %d %a ";

/// One message of a session, with its additional fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) at: SystemTime,
    pub(crate) pid: u32,
    /// SQLSTATE.
    pub(crate) code: String,
    pub(crate) database: String,
    /// The session's `application_name`.
    pub(crate) session: String,
    pub(crate) severity: String,
    pub(crate) message: String,
    pub(crate) detail: String,
    pub(crate) hint: String,
    pub(crate) context: String,
    pub(crate) statement: String,
}

/// Labels of lines that begin a message.
const SEVERITIES: [&str; 5] = ["ERROR", "LOG", "FATAL", "PANIC", "WARNING"];
/// Labels of lines that add to the message before them.
const FIELD_LABELS: [&str; 5] = ["DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY"];

/// The messages of all sessions, in the order of their first lines.
///
/// The lines of concurrent sessions are interleaved. The pid in the prefix shows which message a
/// `DETAIL` or `STATEMENT` line belongs to.
pub(super) fn parse(text: &str) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    // The entry and the field to which a continuation line, which begins with a tab, is added.
    let mut open: Option<(usize, &str)> = None;
    for line in text.lines() {
        // PostgreSQL writes a tab after each line break within a message.
        if let Some(rest) = line.strip_prefix('\t') {
            if let Some((entry, label)) = open
                && let Some(field) = entries[entry].field_mut(label)
            {
                field.push('\n');
                field.push_str(rest);
            }
            continue;
        }
        // A continuation line belongs to the line directly before it, also if that line is skipped.
        open = None;
        let Some((prefix, label, text)) = LinePrefix::read(line) else {
            continue;
        };
        if SEVERITIES.contains(&label) {
            entries.push(prefix.new_entry(label, text));
            open = Some((entries.len() - 1, ""));
        } else if let Some(entry) = entries.iter().rposition(|entry| entry.pid == prefix.pid)
            && let Some(field) = entries[entry].field_mut(label)
        {
            text.clone_into(field);
            open = Some((entry, label));
        }
    }
    entries
}

/// The parsed prefix of one line of a session.
struct LinePrefix<'a> {
    pid: u32,
    at: SystemTime,
    code: &'a str,
    database: &'a str,
    session: &'a str,
}

impl<'a> LinePrefix<'a> {
    /// The prefix, the label, and the text after the label.
    fn read(line: &'a str) -> Option<(Self, &'a str, &'a str)> {
        let (before, after) = line.split_once("] ")?;
        let pid = before.rsplit_once('[')?.1.parse().ok()?;
        // The prefix of a background process ends at `%q`, so no time follows, and the line is
        // skipped.
        let mut words = after.splitn(4, ' ');
        let (at, code, database, rest) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let at = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(at.parse().ok()?).ok()?;
        let labels = SEVERITIES.iter().chain(&FIELD_LABELS);
        // An application name may hold any printable characters, so the first label ends it.
        let (place, label) = labels
            .filter_map(|label| {
                let place = rest
                    .match_indices(label)
                    .map(|(place, _)| place)
                    .find(|place| {
                        (*place == 0 || rest[..*place].ends_with(' '))
                            && rest[place + label.len()..].starts_with(":  ")
                    })?;
                Some((place, *label))
            })
            .min()?;
        let prefix = Self {
            pid,
            at,
            code,
            database,
            session: rest[..place].trim_end(),
        };
        Some((prefix, label, &rest[place + label.len() + 3..]))
    }

    fn new_entry(&self, severity: &str, message: &str) -> LogEntry {
        LogEntry {
            at: self.at,
            pid: self.pid,
            code: self.code.to_owned(),
            database: self.database.to_owned(),
            session: self.session.to_owned(),
            severity: severity.to_owned(),
            message: message.to_owned(),
            detail: String::new(),
            hint: String::new(),
            context: String::new(),
            statement: String::new(),
        }
    }
}

impl LogEntry {
    /// The field that a label stands for; the empty label stands for the message.
    fn field_mut(&mut self, label: &str) -> Option<&mut String> {
        Some(match label {
            "" => &mut self.message,
            "DETAIL" => &mut self.detail,
            "HINT" => &mut self.hint,
            "CONTEXT" => &mut self.context,
            "STATEMENT" => &mut self.statement,
            // `QUERY` is the statement of a function that failed; `CONTEXT` contains it too.
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-01-02 10:00:00.000 UTC [7] LOG:  database system is ready to accept connections
2026-01-02 10:00:01.500 UTC [31] 1767348001.500 23505 ebbtide_l_1 shop::adds one ERROR:  duplicate key value
2026-01-02 10:00:01.500 UTC [32] 1767348001.500 42P01 ebbtide_l_2  ERROR:  relation \"x\" does not exist at character 15
2026-01-02 10:00:01.500 UTC [31] 1767348001.500 23505 ebbtide_l_1 shop::adds one DETAIL:  Key (id)=(1) already exists.
2026-01-02 10:00:01.501 UTC [31] 1767348001.501 23505 ebbtide_l_1 shop::adds one STATEMENT:  insert into t
\tvalues (1)
\t-- ERROR:  of mine
nonsense
\tcontinued nonsense
2026-01-02 10:00:01.502 UTC [32] 1767348001.502 42P01 ebbtide_l_2  STATEMENT:  select * from x
";

    #[test]
    fn lines_of_interleaved_sessions_are_assigned_to_their_messages() {
        let entries = parse(LOG);
        assert_eq!(entries.len(), 2, "{entries:#?}");
        let first = &entries[0];
        assert_eq!(
            (first.pid, &*first.code, &*first.database),
            (31, "23505", "ebbtide_l_1")
        );
        assert_eq!(first.session, "shop::adds one");
        assert_eq!(first.detail, "Key (id)=(1) already exists.");
        assert_eq!(
            first.statement,
            "insert into t\nvalues (1)\n-- ERROR:  of mine"
        );
        assert_eq!(
            first
                .at
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis(),
            1_767_348_001_500
        );
        assert_eq!(entries[1].session, "");
        assert_eq!(entries[1].statement, "select * from x");
    }
}
