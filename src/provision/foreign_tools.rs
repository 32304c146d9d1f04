//! Directories of tools that ebbtide does not imitate, recognised by what is in them.
//!
//! Without this check such a directory would be taken for plain SQL or for sqlx's, and ebbtide
//! would execute both ways, or the files in another order than the tool.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::dir_entries::name_of;
use super::markers::Mark;
use super::observed;
use crate::error::{Error, ErrorKind};

/// Help for a line that is not the tool's.
const OWN_COMMENT: &str = "if no file is a way down, write the line or the name differently";

const FLYWAY: &str = "flyway migrate";

/// What shows that a directory belongs to another tool.
#[derive(Debug)]
pub(super) struct Foreign {
    tool: &'static str,
    /// The program that applies the files, with its arguments. Empty if there is none.
    program: &'static str,
    /// The entry of the directory that shows it, and why.
    evidence: String,
    /// Whether files of the directory are a way down, or contain one.
    has_way_down: bool,
}

/// A tool that is recognised by names.
struct Sign {
    tool: &'static str,
    program: &'static str,
    /// The entry that only this tool has.
    entry: fn(&Path, &[&str]) -> Option<String>,
}

static SIGNS: &[Sign] = &[
    Sign {
        tool: "Sqitch",
        program: "sqitch deploy",
        entry: |dir, names| {
            let above = dir
                .parent()
                .is_some_and(|dir| observed::is_file(&dir.join("sqitch.plan")));
            let is_part = ["deploy", "revert", "verify"].contains(&name_of(dir));
            (names.contains(&"sqitch.plan") || above && is_part).then(|| "sqitch.plan".to_owned())
        },
    },
    Sign {
        tool: "drizzle",
        program: "drizzle-kit migrate",
        entry: |dir, names| {
            let snapshot = subdirectory_with(dir, names, "snapshot.json");
            snapshot.or_else(|| differing_journal(dir, names))
        },
    },
    Sign {
        tool: "Prisma",
        program: "prisma migrate deploy",
        entry: |dir, names| subdirectory_with(dir, names, "migration.sql"),
    },
    Sign {
        tool: "graphile-migrate",
        program: "graphile-migrate migrate",
        entry: |_, names| {
            let current = names
                .iter()
                .find(|name| ["current.sql", "current"].contains(name))?;
            let both = names.contains(&"committed");
            both.then(|| format!("committed beside {current}"))
        },
    },
    Sign {
        tool: "Flyway",
        program: FLYWAY,
        entry: |_, names| {
            names
                .iter()
                .find(|name| is_flyway(name))
                .map(|it| (*it).to_owned())
        },
    },
    Sign {
        tool: "Postgrator",
        program: "postgrator",
        entry: |_, names| {
            let is_do = |name: &&&str| {
                let (version, rest) = name.split_once('.').unwrap_or_default();
                is_digits(version) && rest.starts_with("do.") && rest.ends_with("sql")
            };
            names.iter().find(is_do).map(|name| (*name).to_owned())
        },
    },
    Sign {
        tool: "Liquibase",
        program: "liquibase update",
        entry: |_, names| {
            let is_changelog = |name: &&&str| {
                let lower = name.to_ascii_lowercase();
                let is_text = [".xml", ".yaml", ".yml", ".json"]
                    .iter()
                    .any(|it| lower.ends_with(it));
                lower.contains("changelog") && is_text
            };
            names
                .iter()
                .find(is_changelog)
                .map(|name| (*name).to_owned())
        },
    },
];

/// Two files of which one reverts the other: what their names end with, after the same beginning.
struct Pair {
    tool: &'static str,
    program: &'static str,
    up: &'static str,
    down: &'static str,
}

/// sqlx's own pair is first.
static PAIRS: &[Pair] = &[
    Pair {
        tool: "golang-migrate, Migratus or sqlx",
        program: "migrate up",
        up: ".up.sql",
        down: ".down.sql",
    },
    Pair {
        tool: "db-migrate",
        program: "db-migrate up",
        up: "-up.sql",
        down: "-down.sql",
    },
    Pair {
        tool: "a tool with a file for each way",
        program: "",
        up: "_up.sql",
        down: "_down.sql",
    },
    Pair {
        tool: "yoyo",
        program: "yoyo apply",
        up: ".sql",
        down: ".rollback.sql",
    },
    Pair {
        tool: "a tool with a file for each way",
        program: "",
        up: ".sql",
        down: ".down.sql",
    },
    Pair {
        tool: "a tool with a file for each way",
        program: "",
        up: ".sql",
        down: ".undo.sql",
    },
];

impl Foreign {
    /// The tool that the names in a directory show.
    pub(super) fn by_names(dir: &Path, entries: &[PathBuf]) -> Option<Self> {
        let names: Vec<&str> = entries.iter().map(|path| name_of(path)).collect();
        SIGNS.iter().find_map(|sign| {
            Some(Self {
                tool: sign.tool,
                program: sign.program,
                evidence: (sign.entry)(dir, &names)?,
                has_way_down: false,
            })
        })
    }

    /// The tool to which a line of a file belongs.
    pub(super) fn by_mark(path: &Path, mark: &Mark) -> Self {
        Self {
            tool: mark.marker.tool,
            program: mark.marker.program,
            evidence: format!("{}:{}: {}", name_of(path), mark.line, mark.text),
            has_way_down: mark.has_way_down(path),
        }
    }

    /// The tool that two of these files show, because one reverts the other. `knows_down` states
    /// whether the layout leaves out the files that end in `.down.sql`.
    pub(super) fn by_pair(files: &[PathBuf], knows_down: bool) -> Option<Self> {
        let mut names: Vec<&str> = files.iter().map(|path| name_of(path)).collect();
        names.sort_unstable();
        let has = |name: &str| names.binary_search(&name).is_ok();
        // Flyway reverts `V1__a.sql` by `U1__a.sql`. refinery applies both kinds.
        let undo = names.iter().find_map(|name| {
            let versioned = format!("V{}", name.strip_prefix('U')?);
            has(&versioned).then(|| format!("{name} beside {versioned}"))
        });
        if let Some(evidence) = undo {
            return Some(Self {
                tool: "Flyway",
                program: FLYWAY,
                evidence,
                has_way_down: true,
            });
        }
        let is_wanted = |pair: &&Pair| !(knows_down && pair.down == ".down.sql");
        PAIRS.iter().filter(is_wanted).find_map(|pair| {
            let down_and_up = names.iter().find_map(|name| {
                let up = format!("{}{}", name.strip_suffix(pair.down)?, pair.up);
                has(&up).then(|| format!("{name} beside {up}"))
            });
            Some(Self {
                tool: pair.tool,
                program: pair.program,
                evidence: down_and_up?,
                has_way_down: true,
            })
        })
    }

    /// The error for a directory whose layout is not known to ebbtide.
    pub(super) fn not_imitated(&self, dir: &Path) -> Error {
        let message = format!(
            "ebbtide applies only the files of tools that it can imitate, but {} belongs to {}",
            dir.display(),
            self.tool
        );
        Error::new(ErrorKind::MigrationSource, message)
            .with_evidence("recognised by", &self.evidence)
            .with_help(if self.has_way_down {
                format!("{}; {OWN_COMMENT}", self.run_the_tool(dir))
            } else {
                format!(
                    "{}; if all files are to run as they are in the order of their names, name \
                     the layout: migrations = {{ sql = \"{}\" }}",
                    self.run_the_tool(dir),
                    dir.display()
                )
            })
    }

    /// The error for files whose way down would be executed.
    pub(super) fn way_down(&self, dir: &Path, layout: &str) -> Error {
        let message = format!(
            "only the way up of a migration may run, but the layout {layout} would also execute \
             the way down of {}'s files in {}",
            self.tool,
            dir.display()
        );
        Error::new(ErrorKind::MigrationSource, message)
            .with_evidence("recognised by", &self.evidence)
            .with_help(format!("{}; {OWN_COMMENT}", self.run_the_tool(dir)))
    }

    fn run_the_tool(&self, dir: &Path) -> String {
        if self.program.is_empty() {
            return "move what belongs to the way down elsewhere, or run the tool itself with a \
                    `MigrationCommand` or `Migrations::function`"
                .to_owned();
        }
        let words: Vec<String> = self
            .program
            .split(' ')
            .map(|word| format!("\"{word}\""))
            .collect();
        format!(
            "let the tool apply its files: migrations = {{ command = [{}], inputs = [\"{}\"] }} \
             below [provision] in ebbtide.toml, or a `MigrationCommand`",
            words.join(", "),
            dir.display()
        )
    }
}

/// Whether a name is Flyway's and not refinery's: a repeatable or a baseline migration, or a version
/// with several parts. <https://documentation.red-gate.com/fd/migrations-184127470.html>
fn is_flyway(name: &str) -> bool {
    let Some((start, _)) = name
        .strip_suffix(".sql")
        .and_then(|stem| stem.split_once("__"))
    else {
        return false;
    };
    let is_version = |text: &str| text.split(['.', '_']).all(is_digits);
    start == "R"
        || start.strip_prefix('B').is_some_and(is_version)
        || start
            .strip_prefix(['V', 'U'])
            .is_some_and(|version| is_version(version) && !is_digits(version))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first subdirectory with a file of this name.
fn subdirectory_with(dir: &Path, names: &[&str], file: &str) -> Option<String> {
    let path = names.iter().map(|name| Path::new(name).join(file));
    path.into_iter()
        .find(|path| observed::is_file(&dir.join(path)))
        .map(|path| path.display().to_string())
}

/// drizzle's list of its migrations, if it is not the list of the directory's files in the order of
/// their names. Otherwise the files can run in that order.
fn differing_journal(dir: &Path, names: &[&str]) -> Option<String> {
    #[derive(Deserialize)]
    struct Journal {
        entries: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        tag: String,
    }
    let text = observed::read_to_string(&dir.join("meta/_journal.json")).ok()?;
    let files: Vec<&str> = names
        .iter()
        .filter_map(|it| it.strip_suffix(".sql"))
        .collect();
    let journal = serde_json::from_str::<Journal>(&text).ok();
    let is_equal = journal.is_some_and(|journal| {
        let tags = journal.entries.iter().map(|entry| entry.tag.as_str());
        tags.eq(files)
    });
    (!is_equal).then(|| "meta/_journal.json, which lists other files than the directory".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flyways_names_are_those_that_refinery_does_not_know() {
        for name in [
            "R__views.sql",
            "B3__all.sql",
            "V1.1__a.sql",
            "V1_2__a.sql",
            "U1.1__a.sql",
        ] {
            assert!(is_flyway(name), "{name}");
        }
        for name in [
            "V1__a.sql",
            "U2__a.sql",
            "Readme__a.sql",
            "R__a.txt",
            "V__a.sql",
            "V1_a.sql",
        ] {
            assert!(!is_flyway(name), "{name}");
        }
    }
}
