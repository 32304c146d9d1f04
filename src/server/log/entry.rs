//! The lines of a server's log, put together again to what the server said.

use std::time::{Duration, SystemTime};

/// What every line of a session begins with: when, as a person reads it and as a number of milliseconds, and who.
/// <https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-LOG-LINE-PREFIX>
pub(in crate::server) const PREFIX: &str = "%m [%p] %q%n %e %d %a ";

/// One message of a session, with what belongs to it.
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

const SEVERITIES: [&str; 5] = ["ERROR", "LOG", "FATAL", "PANIC", "WARNING"];
const BELONGINGS: [&str; 5] = ["DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY"];

/// The messages of all sessions, in the order in which they began.
pub(super) fn parse(text: &str) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    // Where a line goes that continues the one before it.
    let mut open: Option<(usize, &str)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix('\t') {
            if let Some((entry, label)) = open
                && let Some(part) = entries[entry].part(label)
            {
                part.push('\n');
                part.push_str(rest);
            }
            continue;
        }
        open = None;
        let Some((head, label, text)) = Head::read(line) else {
            continue;
        };
        if SEVERITIES.contains(&label) {
            entries.push(head.begin(label, text));
            open = Some((entries.len() - 1, ""));
        } else if let Some(entry) = entries.iter().rposition(|entry| entry.pid == head.pid)
            && let Some(part) = entries[entry].part(label)
        {
            text.clone_into(part);
            open = Some((entry, label));
        }
    }
    entries
}

/// The prefix of a session's line.
struct Head<'a> {
    pid: u32,
    at: SystemTime,
    code: &'a str,
    database: &'a str,
    session: &'a str,
}

impl<'a> Head<'a> {
    /// The prefix, the label, and the text behind it.
    fn read(line: &'a str) -> Option<(Self, &'a str, &'a str)> {
        let (before, after) = line.split_once("] ")?;
        let pid = before.rsplit_once('[')?.1.parse().ok()?;
        let mut words = after.splitn(4, ' ');
        let (at, code, database, rest) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let at = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(at.parse().ok()?).ok()?;
        let labels = SEVERITIES.iter().chain(&BELONGINGS);
        // A session's name may hold anything that prints; the first label ends it.
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
        let head = Self {
            pid,
            at,
            code,
            database,
            session: rest[..place].trim_end(),
        };
        Some((head, label, &rest[place + label.len() + 3..]))
    }

    fn begin(&self, severity: &str, message: &str) -> LogEntry {
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
    fn part(&mut self, label: &str) -> Option<&mut String> {
        Some(match label {
            "" => &mut self.message,
            "DETAIL" => &mut self.detail,
            "HINT" => &mut self.hint,
            "CONTEXT" => &mut self.context,
            "STATEMENT" => &mut self.statement,
            // The part of a function that failed; its context says it too.
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
\tof somebody
2026-01-02 10:00:01.502 UTC [32] 1767348001.502 42P01 ebbtide_l_2  STATEMENT:  select * from x
";

    #[test]
    fn messages_of_interleaved_sessions_are_put_together() {
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
