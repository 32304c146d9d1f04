//! Errors about versions: none, several, or no way to come to one.

use super::inputs::{Inputs, MigrationInputs, MigrationSource};
use super::migrate::tools;
use super::migration_place::MigrationPlace;
use super::version_number::number_at_start;
use crate::config::{MigrationCommand, MigrationVersion, nearest};
use crate::error::{Error, ErrorKind};

/// How many versions an error lists in full.
const MAX_LISTED_VERSIONS: usize = 8;

/// What errors call a source.
pub(super) fn name_of(source: &MigrationInputs) -> String {
    match &source.source {
        MigrationSource::Files(_, dir) => dir.display().to_string(),
        MigrationSource::Embedded(_) => "the migrator".to_owned(),
        MigrationSource::Command(command) => format!("the command {}", command.redacted()),
        MigrationSource::Function(function) => format!("the function {:?}", function.name()),
    }
}

/// The error for a version that no candidate has.
pub(super) fn not_found(
    inputs: &Inputs,
    version: &MigrationVersion,
    candidates: &[&MigrationInputs],
) -> Error {
    let error = |message: String| Error::new(ErrorKind::MigrationSource, message);
    if inputs.migrations.is_empty() {
        return error(format!(
            "version {version} needs migrations, but this plan has none"
        ))
        .with_help("set `migrations` to the directory that has the version");
    }
    if candidates.is_empty() {
        let sources: Vec<String> = inputs.migrations.iter().map(name_of).collect();
        return error(format!(
            "version {version} must name a source of the plan, and none has this name"
        ))
        .with_evidence("the sources", sources.join("\n"))
        .with_help("write the end of a directory's path, or the command's program");
    }
    if !candidates.iter().any(|source| source.has_versions()) {
        return without_versions(version, candidates);
    }
    let with_versions = candidates.iter().filter(|source| source.has_versions());
    let lists: Vec<String> = with_versions
        .map(|source| {
            let versions = source.versions();
            let list = near(version.text(), &versions);
            format!("{}: {list} ({} in all)", name_of(source), versions.len())
        })
        .collect();
    error(format!(
        "the version must be one of the migrations, but none has version {version}"
    ))
    .with_evidence("the versions", lists.join("\n"))
    .with_help("correct the version, or add the migration")
}

/// The error for sources whose versions ebbtide cannot name.
fn without_versions(version: &MigrationVersion, sources: &[&MigrationInputs]) -> Error {
    let names: Vec<String> = sources.iter().map(|source| name_of(source)).collect();
    let message = format!(
        "version {version} needs migrations with versions, but {} has none that ebbtide can name",
        names.join(" and ")
    );
    let is_command =
        |source: &&MigrationInputs| matches!(source.source, MigrationSource::Command(_));
    let help = if sources.iter().any(is_command) {
        "write {revision} instead of the revision among the command's arguments, and add the \
         revision that applies everything: command = [\"alembic\", \"upgrade\", \"{revision}\"], \
         latest = \"head\""
    } else {
        "use the directory of the migrations, their embedded `Migrator` (`Setup::migrator`), or a \
         command with {revision} among its arguments, instead of a function"
    };
    Error::new(ErrorKind::MigrationSource, message).with_help(help)
}

/// The versions next to a version that does not exist, and the first and the last ones.
fn near(text: &str, versions: &[String]) -> String {
    if versions.len() <= MAX_LISTED_VERSIONS {
        return versions.join(", ");
    }
    let by_number = number_at_start(text).map(|number| {
        let is_later = |version: &&String| number_at_start(version) > Some(number);
        let later = versions.iter().position(|version| is_later(&version));
        later.unwrap_or(versions.len())
    });
    let by_word = || {
        let word = nearest(text, versions.iter().map(String::as_str))?;
        versions.iter().position(|version| version == word)
    };
    let at = by_number.or_else(by_word).unwrap_or(0);
    let last = versions.len() - 1;
    let mut shown: Vec<usize> = (at.saturating_sub(2)..=(at + 1).min(last)).collect();
    shown.extend([0, last]);
    shown.sort_unstable();
    shown.dedup();
    let mut text_of_all = String::new();
    for (number, at) in shown.iter().enumerate() {
        let follows = number.checked_sub(1).map(|before| shown[before] + 1);
        text_of_all.push_str(match follows {
            None => "",
            Some(next) if next == *at => ", ",
            Some(_) => ", .., ",
        });
        text_of_all.push_str(&versions[*at]);
    }
    text_of_all
}

/// The error for a version that several migrations can have.
pub(super) fn ambiguous(
    inputs: &Inputs,
    version: &MigrationVersion,
    places: &[MigrationPlace],
) -> Error {
    let meant: Vec<String> = places.iter().map(|place| inputs.label(place)).collect();
    let in_one_source = places.iter().all(|place| place.source == places[0].source);
    let help = if in_one_source {
        "write the whole version, as it is listed here".to_owned()
    } else {
        let source = &inputs.migrations[places[0].source];
        let name = match &source.source {
            MigrationSource::Files(_, dir) => dir
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
            MigrationSource::Command(command) => command.command.first().cloned(),
            MigrationSource::Embedded(_) | MigrationSource::Function(_) => None,
        };
        let name = name.unwrap_or_default();
        format!(
            "name the source with the version, for example (\"{name}\", \"{}\")",
            version.text()
        )
    };
    Error::new(
        ErrorKind::MigrationSource,
        format!("version {version} must mean one migration, but it can mean several"),
    )
    .with_evidence("the migrations", meant.join("\n"))
    .with_help(help)
}

/// The error for a source whose migrations cannot be reverted.
pub(super) fn not_revertible(source: &MigrationInputs, to: &str) -> Error {
    let reason = match source.source.tool() {
        Some(tool) => format!("{} migrations have no way down", tool.layout),
        None => "ebbtide cannot revert what it does".to_owned(),
    };
    let (name, place) = (name_of(source), MigrationCommand::REVISION);
    let revertible: Vec<String> = tools::directories()
        .filter(|tool| tool.reversals.is_some())
        .map(|tool| tool.layout.to_string())
        .collect();
    let help = match &source.source {
        MigrationSource::Command(_) => format!(
            "begin there: migrations_up_to has a template at that version, and {place} among the \
             command's arguments takes the revision; or run the tool's own way down with the \
             database's url()"
        ),
        _ => format!(
            "begin there instead: migrations_up_to has a template at that version; only {} \
             migrations are reverted",
            revertible.join(", ")
        ),
    };
    Error::new(
        ErrorKind::MigrationSource,
        format!("to reach {to}, {name} must be reverted, but {reason}"),
    )
    .with_help(help)
}

/// The error for migrations without a way down.
pub(super) fn irreversible(source: &MigrationInputs, versions: &[String], to: &str) -> Error {
    let (noun, verb) = match versions {
        [_] => ("migration", "has"),
        _ => ("migrations", "have"),
    };
    let message = format!(
        "to reach {to}, {noun} {} of {} must be reverted, but {verb} no way down",
        versions.join(", "),
        name_of(source)
    );
    Error::new(ErrorKind::MigrationSource, message).with_help(
        "write the way down (VERSION_description.down.sql beside .up.sql, down.sql beside up.sql, or \
         statements below the line for the way down), or begin there instead: migrations_up_to has \
         a template at that version",
    )
}
