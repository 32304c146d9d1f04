//! Searches the statements of a file, without the data of COPY, in little memory.

use super::reader::{Reader, Unit};
use super::statement::is_copy_in;
use crate::error::{ErrorKind, Result};
use crate::provision::input_file::InputFile;

/// Where a search ended.
pub(in crate::provision) struct Match {
    /// The line in the file.
    pub(in crate::provision) line: usize,
    /// The statement from the found byte on.
    pub(in crate::provision) text: String,
}

/// The first statement in which `find` returns a byte.
pub(in crate::provision) fn find_statement(
    file: &InputFile,
    find: impl Fn(&str) -> Option<usize>,
) -> Result<Option<Match>> {
    let mut reader = Reader::open(file, ErrorKind::Seed)?;
    let mut chunk = Vec::new();
    while let Some(unit) = reader.next()? {
        let (Unit::Statement(statement)
        | Unit::Command {
            open: Some(statement),
            ..
        }) = unit
        else {
            continue;
        };
        if let Some(at) = find(&statement.text) {
            let line = line_of(file, statement.offset + at)?;
            let text = statement.text[at..].to_owned();
            return Ok(Some(Match { line, text }));
        }
        if is_copy_in(&statement.text) {
            reader.start_data()?;
            while reader.read_data(&mut chunk)? {}
        }
    }
    Ok(None)
}

/// The line of a byte of a file. Lines count from 1.
fn line_of(file: &InputFile, offset: usize) -> Result<usize> {
    let text = file.text(ErrorKind::Seed)?;
    let before = text.bytes().take(offset).filter(|byte| *byte == b'\n');
    Ok(before.count() + 1)
}
