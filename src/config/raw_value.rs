//! One unparsed text and its place. The errors of its parsers name both.

use std::time::Duration;

use super::key::Key;
use super::source::{Source, Sourced};
use super::url::ServerUrl;
use super::value::Choice;
use crate::error::{Error, ErrorKind, Result};

/// The text that a source has for a key, before it is parsed.
#[derive(Debug)]
pub(super) struct RawValue {
    key: &'static Key,
    source: Source,
    text: String,
    /// The text for errors, without passwords.
    display_text: String,
}

impl RawValue {
    /// A string, which errors print in quotes.
    pub(super) fn quoted(key: &'static Key, source: Source, text: impl Into<String>) -> Self {
        let text = text.into();
        // By mistake, any key may have a URL with a password as its value.
        let display_text = format!("{:?}", ServerUrl::new(text.as_str()));
        Self {
            key,
            source,
            text,
            display_text,
        }
    }

    /// A number or a duration, which errors print without quotes.
    pub(super) fn unquoted(key: &'static Key, source: Source, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            key,
            source,
            display_text: text.clone(),
            text,
        }
    }

    pub(super) fn choice<T: Choice>(self) -> Result<Sourced<T>> {
        let subject = self.key.subject(&self.source);
        let choice = T::from_word(&self.text, &subject, &self.display_text)?;
        Ok(Sourced::new(choice, self.source))
    }

    /// A major version of PostgreSQL. Before 10 a major version had two numbers, such as 9.6
    /// (<https://www.postgresql.org/support/versioning/>).
    pub(super) fn major_version(self) -> Result<Sourced<u32>> {
        match self.text.parse::<u32>() {
            Ok(major) if major >= 10 => Ok(Sourced::new(major, self.source)),
            _ => Err(self.violates(
                "be a major version of PostgreSQL (a whole number from 10)",
                "17",
            )),
        }
    }

    /// The items of a list, separated by commas. Blank items do not count.
    pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }

    pub(super) fn url(self) -> Result<Sourced<ServerUrl>> {
        // SQLAlchemy's URLs name a driver: `postgresql+psycopg://`.
        let scheme = self.text.split_once("://").map(|(scheme, _)| scheme);
        let scheme = scheme.and_then(|scheme| scheme.split('+').next());
        if scheme.is_some_and(|scheme| ["postgres", "postgresql"].contains(&scheme)) {
            return Ok(Sourced::new(ServerUrl::new(self.text), self.source));
        }
        Err(self.violates(
            "be the URL of a PostgreSQL server",
            "postgres://user@localhost:5432/postgres",
        ))
    }

    pub(super) fn flag(self) -> Result<Sourced<bool>> {
        match self.text.as_str() {
            "true" => Ok(Sourced::new(true, self.source)),
            "false" => Ok(Sourced::new(false, self.source)),
            _ => Err(self.violates("be true or false", "true")),
        }
    }

    /// A whole number with a unit.
    pub(super) fn duration(self) -> Result<Sourced<Duration>> {
        match duration(&self.text) {
            Some(duration) => Ok(Sourced::new(duration, self.source)),
            None => Err(self.violates("be a whole number with a unit (ms, s, m or h)", "30s")),
        }
    }

    /// A limit for a step. No step could finish within a limit of zero.
    pub(super) fn positive_duration(self) -> Result<Sourced<Duration>> {
        match duration(&self.text) {
            Some(Duration::ZERO) => Err(self.violates("be greater than zero", "60s")),
            _ => self.duration(),
        }
    }

    /// A text with something besides blanks.
    pub(super) fn not_blank(self) -> Result<Sourced<String>> {
        if self.text.trim().is_empty() {
            let help = format!("legal values: {}", self.key.legal);
            return Err(self.rule_error("not be blank").with_help(help));
        }
        Ok(Sourced::new(self.text, self.source))
    }

    /// The error of a value that breaks a rule, with a legal value as help. `rule` follows `must`.
    fn violates(&self, rule: &str, example: &str) -> Error {
        let help = self.key.example(&self.source, example);
        self.rule_error(rule).with_help(help)
    }

    fn rule_error(&self, rule: &str) -> Error {
        let (subject, value) = (self.key.subject(&self.source), &self.display_text);
        Error::new(
            ErrorKind::Config,
            format!("{subject} must {rule}, but is {value}"),
        )
    }
}

/// Milliseconds of each unit, largest unit first.
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

/// The duration in the largest unit that divides it, so that parsing the text gives the same
/// duration. A fraction of a millisecond prints as Rust's `Debug` does.
pub(crate) fn format_duration(duration: Duration) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_a_formatted_duration_gives_the_same_duration() {
        for text in ["0s", "500ms", "30s", "90s", "5m", "1h", "26h", "1001ms"] {
            assert_eq!(format_duration(duration(text).expect("legal")), text);
        }
        assert_eq!(format_duration(Duration::from_mins(2)), "2m");
        assert_eq!(format_duration(Duration::from_micros(1500)), "1.5ms");
    }

    #[test]
    fn a_text_without_a_whole_number_and_a_unit_is_no_duration() {
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
