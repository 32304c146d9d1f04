//! Lines that divide a migration file into its way up and its way down. They are comments, so a
//! tool that does not know them executes both ways.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use super::direction::Direction;
use super::input_file::unreadable;
use super::observed;
use super::sql_script::Script;
use crate::error::{ErrorKind, Result};

/// The lines by which a tool divides its files.
#[derive(Debug)]
pub(super) struct Marker {
    pub(super) tool: &'static str,
    /// The program that applies the files, with its arguments. Empty if several tools have the line.
    pub(super) program: &'static str,
    /// Whether comments often have the line's words. Then a file is the tool's only if a statement
    /// follows the line of its way down.
    is_common: bool,
    /// What a line without its surrounding white space begins, if it is the tool's.
    way: fn(&str) -> Option<Direction>,
}

/// A line of a file that divides it.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) marker: &'static Marker,
    pub(super) way: Direction,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) text: String,
}

/// <https://github.com/amacneil/dbmate#creating-migrations>
pub(super) static DBMATE: Marker = Marker {
    tool: "dbmate",
    program: "dbmate up",
    is_common: false,
    way: |line| {
        let directive = comment(line)?.strip_prefix("migrate:")?;
        way_of(directive.split_whitespace().next()?, "up", "down")
    },
};

/// <https://pressly.github.io/goose/documentation/annotations/>
pub(super) static GOOSE: Marker = Marker {
    tool: "goose",
    program: "goose up",
    is_common: false,
    way: |line| way_of(comment(line)?.strip_prefix("+goose")?.trim(), "up", "down"),
};

/// <https://github.com/rubenv/sql-migrate#writing-migrations>
pub(super) static SQL_MIGRATE: Marker = Marker {
    tool: "sql-migrate",
    program: "sql-migrate up",
    is_common: false,
    way: |line| {
        let directive = comment(line)?.strip_prefix("+migrate ")?;
        way_of(directive.split_whitespace().next()?, "Up", "Down")
    },
};

/// Every marker: those of the layouts, then those of tools that a command must run.
static MARKERS: &[&Marker] = &[
    &DBMATE,
    &GOOSE,
    &SQL_MIGRATE,
    &Marker {
        tool: "micrate",
        program: "micrate up",
        is_common: false,
        way: |line| {
            way_of(
                comment(line)?.strip_prefix("+micrate")?.trim(),
                "Up",
                "Down",
            )
        },
    },
    &Marker {
        tool: "rambler",
        program: "rambler apply --all",
        is_common: false,
        way: |line| way_of(comment(line)?.strip_prefix("rambler")?.trim(), "up", "down"),
    },
    &Marker {
        tool: "shmig",
        program: "shmig up",
        is_common: false,
        way: |line| {
            let text = comment(line)?.strip_prefix("==")?;
            way_of(text.trim_matches([' ', '=']), "UP", "DOWN")
        },
    },
    &Marker {
        tool: "a tool with the lines `-- Up` and `-- Down`",
        program: "",
        is_common: true,
        way: |line| way_of(comment(line)?, "Up", "Down"),
    },
    &Marker {
        tool: "node-pg-migrate",
        program: "node-pg-migrate up",
        is_common: true,
        way: |line| way_of(comment(line)?, "Up Migration", "Down Migration"),
    },
    &Marker {
        tool: "tern",
        program: "tern migrate",
        is_common: false,
        way: |line| (line == "---- create above / drop below ----").then_some(Direction::Down),
    },
    &Marker {
        tool: "MyBatis Migrations",
        program: "migrate up",
        is_common: false,
        way: |line| {
            (comment(line)?.trim_start_matches('/').trim() == "@UNDO").then_some(Direction::Down)
        },
    },
    &Marker {
        tool: "Play evolutions",
        program: "",
        is_common: false,
        way: |line| {
            let text = line.strip_prefix('#').or_else(|| line.strip_prefix("--"))?;
            way_of(text.trim_matches([' ', '-']), "!Ups", "!Downs")
        },
    },
    &Marker {
        tool: "Liquibase",
        program: "liquibase update",
        is_common: false,
        way: |line| (comment(line)? == "liquibase formatted sql").then_some(Direction::Up),
    },
    // A checkpoint holds the schema of every migration before it, and replaces them on an empty
    // database: <https://atlasgo.io/versioned/checkpoint>.
    &Marker {
        tool: "Atlas (with a checkpoint)",
        program: "atlas migrate apply",
        is_common: false,
        way: |line| (comment(line)?.starts_with("atlas:checkpoint")).then_some(Direction::Up),
    },
];

/// The lines of a file that divide it, one for each tool and way.
pub(super) fn scan(path: &Path) -> Result<Vec<Mark>> {
    let failed = |error| unreadable(ErrorKind::MigrationSource, path, error);
    let mut reader = BufReader::new(observed::open(path).map_err(failed)?);
    let mut marks: Vec<Mark> = Vec::new();
    // Bytes, because a file that is not UTF-8 is reported where its text is needed.
    let mut bytes = Vec::new();
    let mut line = 0;
    while reader.read_until(b'\n', &mut bytes).map_err(failed)? > 0 {
        line += 1;
        let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if matches!(start, [b'-', b'-', ..] | [b'#', ..]) {
            let text = String::from_utf8_lossy(start);
            let text = text.trim();
            let found = MARKERS
                .iter()
                .find_map(|marker| Some((*marker, (marker.way)(text)?)));
            if let Some((marker, way)) = found
                && !marks.iter().any(|mark| mark.is(marker) && mark.way == way)
            {
                marks.push(Mark {
                    marker,
                    way,
                    line,
                    text: text.to_owned(),
                });
            }
        }
        bytes.clear();
    }
    Ok(marks)
}

/// The lines that divide a file, without those that are only comments.
pub(super) fn dividing(path: &Path) -> Result<Vec<Mark>> {
    let mut marks = scan(path)?;
    let is_common = |mark: &Mark| mark.marker.is_common;
    if marks.iter().any(is_common) {
        let divides = |mark: &Mark| mark.way == Direction::Down && mark.precedes_statement(path);
        let tools: Vec<&str> = marks
            .iter()
            .filter(|mark| divides(mark))
            .map(|mark| mark.marker.tool)
            .collect();
        marks.retain(|mark| !is_common(mark) || tools.contains(&mark.marker.tool));
    }
    Ok(marks)
}

impl Mark {
    /// Whether the file has a way down of the same tool.
    pub(super) fn has_way_down(&self, path: &Path) -> bool {
        let marks = scan(path).unwrap_or_default();
        let is_down = |it: &Mark| it.is(self.marker) && it.way == Direction::Down;
        marks
            .iter()
            .any(|it| is_down(it) && it.precedes_statement(path))
    }

    /// Whether a statement follows the line. True, too, for a file that is not UTF-8.
    pub(super) fn precedes_statement(&self, path: &Path) -> bool {
        let Ok(text) = observed::read_to_string(path) else {
            return true;
        };
        // A line that begins with `#` is a part of the next statement.
        let lines = text.split_inclusive('\n').take(self.line - 1);
        let start: usize = lines.map(str::len).sum();
        let script = Script::part("", text);
        let last = script.statements().last().map(|it| it.offset());
        last.is_some_and(|last| last >= start)
    }

    pub(super) fn is(&self, marker: &Marker) -> bool {
        self.marker.tool == marker.tool
    }
}

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    line.strip_prefix("--").map(str::trim)
}

fn way_of(word: &str, up: &str, down: &str) -> Option<Direction> {
    // goose accepts every case, and no tool gives another meaning to another case.
    if word.eq_ignore_ascii_case(up) {
        Some(Direction::Up)
    } else if word.eq_ignore_ascii_case(down) {
        Some(Direction::Down)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(line: &str) -> Vec<(&str, Direction)> {
        let way = |marker: &&Marker| Some((marker.tool, (marker.way)(line)?));
        MARKERS.iter().filter_map(way).collect()
    }

    #[test]
    fn each_line_that_divides_a_file_belongs_to_one_tool() {
        for (line, tool, way) in [
            ("-- migrate:up", "dbmate", Direction::Up),
            ("--migrate:up transaction:false", "dbmate", Direction::Up),
            ("-- migrate:down", "dbmate", Direction::Down),
            ("-- +goose Up", "goose", Direction::Up),
            ("--+goose down", "goose", Direction::Down),
            ("-- +migrate Up notransaction", "sql-migrate", Direction::Up),
            ("-- +migrate Down", "sql-migrate", Direction::Down),
            ("-- +micrate Down", "micrate", Direction::Down),
            ("-- rambler up", "rambler", Direction::Up),
            ("-- ==== DOWN ====", "shmig", Direction::Down),
            (
                "-- Down",
                "a tool with the lines `-- Up` and `-- Down`",
                Direction::Down,
            ),
            ("-- Down Migration", "node-pg-migrate", Direction::Down),
            (
                "---- create above / drop below ----",
                "tern",
                Direction::Down,
            ),
            ("-- //@UNDO", "MyBatis Migrations", Direction::Down),
            ("--//@UNDO", "MyBatis Migrations", Direction::Down),
            ("# --- !Downs", "Play evolutions", Direction::Down),
            ("-- !Ups", "Play evolutions", Direction::Up),
            ("--liquibase formatted sql", "Liquibase", Direction::Up),
        ] {
            assert_eq!(ways(line), [(tool, way)], "{line}");
        }
        for line in [
            "-- migrate:upward",
            "-- users go up",
            "-- +goose StatementBegin",
            "-- +migrate StatementEnd",
            "# Downs",
            "-- = down",
            "-- scaled down",
        ] {
            assert_eq!(ways(line), [], "{line}");
        }
    }
}
