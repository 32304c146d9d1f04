//! The SQL of every source of migrations, in the order in which the sources run.

use super::inputs::{Inputs, MigrationInputs};
use super::sql_script::Script;
use crate::error::Result;

/// The scripts of all sources, and where those of each source end.
///
/// Help for an error in one source names the files of all sources, so the scripts form one slice.
#[derive(Debug)]
pub(super) struct Scripts {
    all: Vec<Script>,
    /// For each source, the number of scripts up to and including its own.
    ends: Vec<usize>,
}

impl Scripts {
    /// Reads the files of every source.
    pub(super) fn read(inputs: &Inputs) -> Result<Self> {
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for source in inputs.sources() {
            all.append(&mut source.scripts()?);
            ends.push(all.len());
        }
        Ok(Self { all, ends })
    }

    pub(super) fn all(&self) -> &[Script] {
        &self.all
    }

    /// Each source with its own scripts. `inputs` are those that [`read`](Self::read) has read.
    pub(super) fn by_source<'a>(
        &'a self,
        inputs: &'a Inputs,
    ) -> impl Iterator<Item = (&'a MigrationInputs, &'a [Script])> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let scripts = starts
            .zip(&self.ends)
            .map(|(start, end)| &self.all[*start..*end]);
        inputs.sources().zip(scripts)
    }
}
