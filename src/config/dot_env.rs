//! The file `.env`, of which only ebbtide's own variables are read.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The variables among `relevant` that the text of a `.env` file sets; the first setting of a name counts.
///
/// # Errors
///
/// A line that sets an `EBBTIDE_*` variable and cannot be read. Other tools' lines are skipped.
pub(super) fn parse(
    path: &Path,
    text: &str,
    relevant: fn(&str) -> bool,
) -> Result<BTreeMap<String, String>> {
    // dotenvy refuses trailing blanks on a last line that lacks its line feed.
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let mut variables = BTreeMap::new();
    let mut skipped = false;
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) if relevant(&name) => {
                variables.entry(name).or_insert(value);
            }
            Ok(_) => {}
            Err(dotenvy::Error::LineParse(..)) => skipped = true,
            Err(error) => {
                let message = format!("{} cannot be read", path.display());
                return Err(Error::new(ErrorKind::Config, message).with_source(error));
            }
        }
    }
    // dotenvy tells neither number nor name of a line that it cannot read, and an open quote makes it take
    // the rest of the file for one line. So look for names that are written and did not come through.
    let mut written = text
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((name(line)?, number)));
    match written.find(|(name, _)| skipped && relevant(name) && !variables.contains_key(*name)) {
        Some((name, number)) => Err(unreadable(path, number, name)),
        None => Ok(variables),
    }
}

/// The variable that a line sets.
fn name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (name, _) = line
        .strip_prefix("export ")
        .unwrap_or(line)
        .split_once('=')?;
    Some(name.trim())
}

/// The line itself is not shown, since it may hold a password.
fn unreadable(path: &Path, line: usize, name: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("{}:{line}: {name} cannot be read", path.display()),
    )
    .with_help(format!(
        "write it as {name}='value', and close every quote above it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<BTreeMap<String, String>> {
        parse(Path::new(".env"), text, |name| name.starts_with("EBBTIDE_"))
    }

    #[test]
    fn only_relevant_variables_are_read_and_the_first_counts() {
        let text = "\u{feff}# ours\nEBBTIDE_IMAGE=a\nexport EBBTIDE_BACKEND='native'\nDATABASE_URL=x\nEBBTIDE_IMAGE=b  ";
        let expected = [("EBBTIDE_BACKEND", "native"), ("EBBTIDE_IMAGE", "a")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parsed(text).expect("legal"), BTreeMap::from(expected));
    }

    #[test]
    fn lines_of_other_tools_need_not_make_sense() {
        let variables = parsed("what is = this = line\nEBBTIDE_IMAGE=a\n").expect("skipped");
        assert_eq!(
            variables.get("EBBTIDE_IMAGE").map(String::as_str),
            Some("a")
        );
    }

    #[test]
    fn a_line_of_ours_that_cannot_be_read_is_named_and_not_shown() {
        let error =
            parsed("A=1\nEBBTIDE_URL=postgres://u:secret pass@h/d\n").expect_err("two words");
        assert_eq!(error.to_string(), ".env:2: EBBTIDE_URL cannot be read");
        assert_eq!(
            error.help(),
            Some("write it as EBBTIDE_URL='value', and close every quote above it")
        );
        let error = parsed("A='open\nB=2\nEBBTIDE_URL=x\n").expect_err("an open quote above");
        assert_eq!(error.to_string(), ".env:3: EBBTIDE_URL cannot be read");
        assert!(!format!("{error:?}").contains("secret"));
    }
}
