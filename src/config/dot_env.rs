//! The file `.env`. Only ebbtide's own variables are read from it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The variables of a `.env` file for which `relevant` is true. The first line with a name counts.
///
/// # Errors
///
/// A line with a relevant variable cannot be parsed. Lines with other tools' variables are skipped.
pub(super) fn parse(
    path: &Path,
    text: &str,
    relevant: fn(&str) -> bool,
) -> Result<BTreeMap<String, String>> {
    // dotenvy rejects trailing blanks on a last line without a line feed.
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
    // dotenvy's error has neither the number nor the name of the line. After an open quote dotenvy
    // also takes the rest of the file for one line. So this looks for relevant names that are in
    // the text and missing in the result.
    let mut written = text
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((name(line)?, number)));
    match written.find(|(name, _)| skipped && relevant(name) && !variables.contains_key(*name)) {
        Some((name, number)) => Err(not_parsed(path, number, name)),
        None => Ok(variables),
    }
}

/// The name of the variable in a line.
fn name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (name, _) = line
        .strip_prefix("export ")
        .unwrap_or(line)
        .split_once('=')?;
    Some(name.trim())
}

/// The error of a line. It does not print the line, which may contain a password.
fn not_parsed(path: &Path, line: usize, name: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("{}:{line}: {name} cannot be parsed", path.display()),
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
        let text = "\u{feff}# a comment\nEBBTIDE_IMAGE=a\nexport EBBTIDE_BACKEND='native'\n\
                    DATABASE_URL=x\nEBBTIDE_IMAGE=b  ";
        let expected = [("EBBTIDE_BACKEND", "native"), ("EBBTIDE_IMAGE", "a")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parsed(text).expect("legal"), BTreeMap::from(expected));
    }

    #[test]
    fn invalid_lines_of_other_tools_are_skipped() {
        let variables = parsed("what is = this = line\nEBBTIDE_IMAGE=a\n").expect("skipped");
        assert_eq!(
            variables.get("EBBTIDE_IMAGE").map(String::as_str),
            Some("a")
        );
    }

    #[test]
    fn the_error_of_an_ebbtide_line_names_the_variable_and_does_not_print_the_value() {
        let error =
            parsed("A=1\nEBBTIDE_URL=postgres://u:secret pass@h/d\n").expect_err("two words");
        assert_eq!(error.to_string(), ".env:2: EBBTIDE_URL cannot be parsed");
        assert_eq!(
            error.help(),
            Some("write it as EBBTIDE_URL='value', and close every quote above it")
        );
        let error = parsed("A='open\nB=2\nEBBTIDE_URL=x\n").expect_err("an open quote above");
        assert_eq!(error.to_string(), ".env:3: EBBTIDE_URL cannot be parsed");
        assert!(!format!("{error:?}").contains("secret"));
    }
}
