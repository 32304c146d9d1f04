//! The versions of a plan's migrations, and the places between them.
//!
//! The migrations of all sources are one sequence, because each source is complete before the next
//! begins. A place in the sequence is a number of migrations of one source. A command has one such
//! place for each revision, and a function has none.

use std::collections::BTreeSet;

use super::input_file::InputFile;
use super::inputs::{Inputs, MigrationInputs, MigrationSource, SourcePart};
use super::migration_place::MigrationPlace;
use super::version_errors;
use super::version_number::{number_at_start, number_of};
use crate::config::MigrationVersion;
use crate::error::{ErrorKind, Result};

impl MigrationInputs {
    /// The versions of the migrations, in the order in which they are applied, as the ledger has
    /// them. Empty for a command or a function.
    pub(super) fn versions(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let ups = self.files.iter().filter(|file| !self.is_way_down(file));
        let versions = ups.filter_map(|file| self.version_of(file));
        versions
            .filter(|version| seen.insert(version.clone()))
            .collect()
    }

    fn version_of(&self, file: &InputFile) -> Option<String> {
        self.source.tool().and_then(|tool| (tool.version)(file))
    }

    fn is_way_down(&self, file: &InputFile) -> bool {
        let tool = self.source.tool();
        tool.is_some_and(|tool| tool.has_down_files) && file.is_down()
    }

    /// The first `end` migrations, of which the first `done` are applied already.
    pub(super) fn part(&self, done: usize, end: usize) -> Self {
        let mut versions = self.versions();
        let later = versions.split_off(end.min(versions.len()));
        let later: BTreeSet<String> = later.into_iter().collect();
        let belongs = |file: &&InputFile| {
            let version = self.version_of(file);
            version.is_none_or(|version| !later.contains(&version))
        };
        let has_wide =
            |version: &String| version.parse::<i64>().is_ok() && version.parse::<i32>().is_err();
        Self {
            files: self.files.iter().filter(belongs).cloned().collect(),
            part: SourcePart {
                done,
                has_later_files: !later.is_empty(),
                has_wide_version_later: later.iter().any(has_wide),
                revision: None,
            },
            ..self.clone()
        }
    }

    /// The same source, whose command migrates to this revision.
    pub(super) fn at_revision(&self, revision: Option<&str>) -> Self {
        let mut inputs = self.clone();
        inputs.part.revision = revision.map(str::to_owned);
        inputs
    }

    /// Whether the migration with this version has a way down.
    pub(super) fn has_way_down(&self, version: &str) -> bool {
        let marked = self.source.tool().and_then(|tool| tool.marked);
        let has_way_down = |file: &&InputFile| match marked {
            Some(marked) => file
                .text(ErrorKind::MigrationSource)
                .is_ok_and(|text| marked.has_down(&text)),
            None => self.is_way_down(file),
        };
        let mut of_version = self
            .files
            .iter()
            .filter(|file| self.version_of(file).as_deref() == Some(version));
        of_version.any(|file| has_way_down(&file))
    }

    /// Whether versions of this source can be named.
    pub(super) fn has_versions(&self) -> bool {
        match &self.source {
            MigrationSource::Files(..) | MigrationSource::Embedded(_) => true,
            MigrationSource::Command(command) => command.takes_revision(),
            MigrationSource::Function(_) => false,
        }
    }

    /// Whether a test can mean this source by the name.
    fn is_named(&self, name: &std::path::Path) -> bool {
        match &self.source {
            MigrationSource::Files(_, dir) => dir.ends_with(name),
            MigrationSource::Embedded(_) => false,
            MigrationSource::Command(command) => {
                let program = command.command.first();
                program.is_some_and(|it| std::path::Path::new(it).ends_with(name))
            }
            MigrationSource::Function(function) => std::path::Path::new(function.name()) == name,
        }
    }

    /// The places of this source that the text can mean: the version itself, or else every version
    /// that begins with the number.
    fn matching(&self, text: &str) -> Vec<usize> {
        let versions = self.versions();
        let without_ending = |version: &str| version.strip_suffix(".sql") == Some(text);
        let exact = |version: &String| version == text || without_ending(version);
        if let Some(at) = versions.iter().position(exact) {
            return vec![at];
        }
        let Some(number) = number_of(text) else {
            return Vec::new();
        };
        let is_number = |version: &String| number_at_start(version) == Some(number);
        (0..versions.len())
            .filter(|at| is_number(&versions[*at]))
            .collect()
    }
}

impl Inputs {
    /// The place after the last migration of the last source.
    pub(crate) fn end(&self) -> MigrationPlace {
        MigrationPlace::before_source(self.migrations.len())
    }

    /// The place after the migration with this version.
    ///
    /// # Errors
    /// [`MigrationSource`](ErrorKind::MigrationSource): there is no such version, or several
    /// migrations can be meant.
    pub(crate) fn place_of(&self, version: &MigrationVersion) -> Result<MigrationPlace> {
        let is_meant = |source: &MigrationInputs| {
            let named = version.source();
            named.is_none_or(|name| source.is_named(name))
        };
        let candidates = self.migrations.iter().enumerate();
        let candidates: Vec<(usize, &MigrationInputs)> =
            candidates.filter(|(_, source)| is_meant(source)).collect();
        let mut places = Vec::new();
        for (index, source) in &candidates {
            if let MigrationSource::Command(_) = &source.source {
                let revision = Some(version.text().to_owned()).filter(|_| source.has_versions());
                places.extend(revision.map(|revision| MigrationPlace {
                    revision: Some(revision),
                    ..MigrationPlace::before_source(*index)
                }));
            }
            let matching = source.matching(version.text()).into_iter();
            places.extend(matching.map(|at| MigrationPlace {
                done: at + 1,
                ..MigrationPlace::before_source(*index)
            }));
        }
        if places.len() > 1 {
            return Err(version_errors::ambiguous(self, version, &places));
        }
        let sources: Vec<&MigrationInputs> = candidates.iter().map(|(_, it)| *it).collect();
        match places.pop() {
            Some(place) => Ok(self.normal(place)),
            None => Err(version_errors::not_found(self, version, &sources)),
        }
    }

    /// The same place in its only form: the end of a source is the start of the next.
    pub(super) fn normal(&self, place: MigrationPlace) -> MigrationPlace {
        let source = self.migrations.get(place.source);
        let is_complete =
            |source: &MigrationInputs| place.done > 0 && place.done == source.versions().len();
        if source.is_some_and(is_complete) {
            return MigrationPlace::before_source(place.source + 1);
        }
        place
    }

    /// What must be applied to an empty database to come to this place. Without seeds, which belong
    /// to the last version.
    pub(crate) fn up_to(&self, place: &MigrationPlace) -> Self {
        let mut migrations = self.migrations[..place.source].to_vec();
        if let Some(source) = self.migrations.get(place.source) {
            if place.done > 0 {
                migrations.push(source.part(0, place.done));
            } else if place.revision.is_some() {
                migrations.push(source.at_revision(place.revision.as_deref()));
            }
        }
        Self {
            bootstrap: self.bootstrap.clone(),
            migrations,
            seeds: Vec::new(),
        }
    }

    /// The place as errors call it: `version 41`.
    pub(super) fn label(&self, place: &MigrationPlace) -> String {
        let current = self.migrations.get(place.source);
        let last_version = |source: &MigrationInputs| match place.done {
            0 => None,
            done => source.versions().get(done - 1).cloned(),
        };
        let version = place
            .revision
            .clone()
            .or_else(|| current.and_then(last_version));
        let of_source = |source: Option<&MigrationInputs>| match source {
            Some(source) if self.migrations.len() > 1 => {
                format!(" of {}", version_errors::name_of(source))
            }
            _ => String::new(),
        };
        if let Some(version) = version {
            return format!("version {version}{}", of_source(current));
        }
        let Some(before) = place.source.checked_sub(1) else {
            return "the start, before the first migration".to_owned();
        };
        let before = self.migrations.get(before);
        match before.and_then(|source| source.versions().pop()) {
            Some(version) => format!("version {version}{}", of_source(before)),
            None => format!("the end of the migrations{}", of_source(before)),
        }
    }
}
