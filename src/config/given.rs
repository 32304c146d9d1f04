//! One raw text and its place, parsed with errors that name both.

use std::time::Duration;

use super::key::Key;
use super::source::{Source, Sourced};
use super::url::ServerUrl;
use super::value::Choice;
use crate::error::{Error, ErrorKind, Result};

/// What somebody wrote for a key.
#[derive(Debug)]
pub(super) struct Given {
    key: &'static Key,
    source: Source,
    text: String,
    shown: String,
}

impl Given {
    /// A text, which errors show in quotes.
    pub(super) fn text(key: &'static Key, source: Source, text: impl Into<String>) -> Self {
        let text = text.into();
        let shown = format!("{:?}", ServerUrl::new(text.as_str()));
        Self {
            key,
            source,
            text,
            shown,
        }
    }

    /// A number or the like, which errors show as it is.
    pub(super) fn bare(key: &'static Key, source: Source, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            key,
            source,
            shown: text.clone(),
            text,
        }
    }

    pub(super) fn choice<T: Choice>(self) -> Result<Sourced<T>> {
        let label = self.key.label(&self.source, &self.shown);
        Ok(Sourced::new(T::from_word(&self.text, &label)?, self.source))
    }

    /// A major version. Before 10 a major version was two numbers (postgresql.org/support/versioning).
    pub(super) fn major(self) -> Result<Sourced<u32>> {
        match self.text.parse::<u32>() {
            Ok(major) if major >= 10 => Ok(Sourced::new(major, self.source)),
            _ => {
                Err(self
                    .is_not("a major version of PostgreSQL: a whole number from 10, such as 17"))
            }
        }
    }

    pub(super) fn url(self) -> Result<Sourced<ServerUrl>> {
        if ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| self.text.starts_with(scheme))
        {
            return Ok(Sourced::new(ServerUrl::new(self.text), self.source));
        }
        Err(self.is_not(
            "the URL of a PostgreSQL server, such as postgres://user@localhost:5432/postgres",
        ))
    }

    pub(super) fn flag(self) -> Result<Sourced<bool>> {
        match self.text.as_str() {
            "true" => Ok(Sourced::new(true, self.source)),
            "false" => Ok(Sourced::new(false, self.source)),
            _ => Err(self.is_not("one of: true, false")),
        }
    }

    /// A whole number and a unit.
    pub(super) fn duration(self) -> Result<Sourced<Duration>> {
        match duration(&self.text) {
            Some(duration) => Ok(Sourced::new(duration, self.source)),
            None => {
                Err(self
                    .is_not("a duration: a whole number and a unit, such as 500ms, 30s, 5m, 1h"))
            }
        }
    }

    /// A duration that something may take, so not zero.
    pub(super) fn limit(self) -> Result<Sourced<Duration>> {
        match duration(&self.text) {
            Some(Duration::ZERO) => {
                Err(self
                    .is_not("a limit that anything could meet: write a longer one, such as 60s"))
            }
            _ => self.duration(),
        }
    }

    /// A plain text that says something.
    pub(super) fn words(self) -> Result<Sourced<String>> {
        if self.text.trim().is_empty() {
            return Err(self
                .is_not("a value")
                .with_help(format!("legal values: {}", self.key.legal)));
        }
        Ok(Sourced::new(self.text, self.source))
    }

    fn is_not(&self, expected: &str) -> Error {
        let label = self.key.label(&self.source, &self.shown);
        Error::new(ErrorKind::Config, format!("{label} is not {expected}"))
    }
}

/// Milliseconds in each unit, largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(*milliseconds)
        .map(Duration::from_millis)
}

/// The duration in the largest unit that is exact, so that it reads back as the same.
pub(crate) fn spell(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let whole = UNITS.iter().find(|(_, unit)| {
        duration
            .as_nanos()
            .is_multiple_of(u128::from(*unit) * 1_000_000)
    });
    match whole {
        Some((name, unit)) => format!("{}{name}", duration.as_millis() / u128::from(*unit)),
        None => format!("{duration:?}"),
    }
}

/// Refuses settings that ebbtide sets itself, and names that are none.
pub(super) fn check_setting(key: &Key, source: &Source, name: &str, value: &str) -> Result<()> {
    const OWNED: [&str; 11] = [
        "port",
        "listen_addresses",
        "unix_socket_directories",
        "unix_socket_permissions",
        "data_directory",
        "config_file",
        "hba_file",
        "ident_file",
        "external_pid_file",
        "logging_collector",
        "log_destination",
    ];
    let place = || match source {
        Source::File { .. } => format!("{source}: {}.{name}", key.path),
        _ => key.label(source, &format!("{name:?}, ..")),
    };
    let refuse = |reason: &str, help: &str| {
        Err(Error::new(ErrorKind::Config, format!("{} {reason}", place())).with_help(help))
    };
    let mut letters = name.chars();
    let legal = letters
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.');
    if !legal {
        return refuse(
            "is not the name of a setting",
            "a name is letters, digits, _ and . and begins with a letter or _, \
             as in work_mem or pg_trgm.similarity_threshold",
        );
    }
    if OWNED.contains(&name) || name.starts_with("ebbtide.") {
        return refuse(
            "is not yours to set",
            "remove it: ebbtide decides where its servers listen, log and keep their data",
        );
    }
    if value.contains('\0') {
        return refuse(
            "holds a zero byte",
            "remove the zero byte: no setting of PostgreSQL can hold one",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_are_spelled() {
        for text in ["0s", "500ms", "30s", "90s", "5m", "1h", "26h", "1001ms"] {
            assert_eq!(spell(duration(text).expect("legal")), text);
        }
        assert_eq!(spell(Duration::from_mins(2)), "2m");
        assert_eq!(spell(Duration::from_micros(1500)), "1.5ms");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "30S",
            "99999999999999999999h",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
