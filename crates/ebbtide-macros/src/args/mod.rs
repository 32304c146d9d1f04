//! What stands in the attribute's parentheses, read and checked.

mod entry;
mod expect;
mod fixtures;
#[cfg(test)]
mod tests;

use std::path::Path;

use proc_macro2::TokenStream;
use syn::{Lit, LitStr};

use crate::errors::Errors;
use entry::{Entry, Name, entries};

pub(crate) use expect::{Expectation, RustType};

const OPTIONS: [&str; 12] = [
    "fixtures",
    "migrations",
    "migrator",
    "pool",
    "isolation_level",
    "savepoints",
    "keep",
    "expect",
    "flavor",
    "worker_threads",
    "start_paused",
    "crate",
];

/// The options that were read; one with an error is missing.
#[derive(Default)]
pub(crate) struct Args {
    /// Paths relative to the test's source file.
    pub(crate) fixtures: Vec<LitStr>,
    pub(crate) migrations: Option<Migrations>,
    pub(crate) pool: Option<PoolKind>,
    pub(crate) isolation_level: Option<IsolationLevel>,
    /// Whether they are wanted.
    pub(crate) savepoints: Option<()>,
    pub(crate) keep: Option<Keep>,
    pub(crate) expect: Vec<Expectation>,
    pub(crate) runtime: Runtime,
    pub(crate) krate: Option<syn::Path>,
}

pub(crate) enum Migrations {
    Dir(LitStr),
    Without,
    Migrator(syn::Path),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PoolKind {
    Sandbox,
    Database,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum IsolationLevel {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Keep {
    Always,
    Failed,
}

/// The runtime of an async test.
#[derive(Default)]
pub(crate) struct Runtime {
    pub(crate) flavor: Option<Flavor>,
    pub(crate) worker_threads: Option<usize>,
    pub(crate) start_paused: Option<bool>,
    /// The options as they were written, to point at.
    written: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Flavor {
    CurrentThread,
    MultiThread,
}

/// Reads the attribute. `package` is the directory that `migrations` is relative to.
pub(crate) fn parse(tokens: TokenStream, package: Option<&Path>, errors: &mut Errors) -> Args {
    let mut args = Args::default();
    let mut seen: Vec<String> = Vec::new();
    for entry in entries(tokens, errors) {
        let option = entry.name.keyword();
        let fits_once = option != "fixtures" && OPTIONS.contains(&option.as_str());
        if fits_once && seen.contains(&option) {
            errors.add(&entry.name, format!("{} is given twice", entry.name));
            continue;
        }
        let rival = match option.as_str() {
            "migrations" => "migrator",
            "migrator" => "migrations",
            _ => "",
        };
        if seen.iter().any(|option| option == rival) {
            errors.add(
                &entry.name,
                "`migrations` and `migrator` exclude each other",
            );
        }
        args.read(&option, &entry, package, errors);
        seen.push(option);
    }
    args
}

impl Args {
    fn read(&mut self, option: &str, entry: &Entry, package: Option<&Path>, errors: &mut Errors) {
        match option {
            "fixtures" => {
                let list = errors.note(entry.list()).unwrap_or_default();
                self.fixtures.extend(fixtures::fixtures(list, errors));
            }
            "migrations" => self.migrations = errors.note(migrations(entry, package)),
            "migrator" => {
                let path = entry
                    .text()
                    .and_then(|text| rust_path(entry, &text, "crate::MIGRATOR"));
                self.migrations = errors.note(path).map(Migrations::Migrator);
            }
            "pool" => {
                let legal = [
                    ("sandbox", PoolKind::Sandbox),
                    ("database", PoolKind::Database),
                ];
                self.pool = errors.note(entry.choice(&legal));
            }
            "isolation_level" => {
                let legal = [
                    ("read committed", IsolationLevel::ReadCommitted),
                    ("repeatable read", IsolationLevel::RepeatableRead),
                    ("serializable", IsolationLevel::Serializable),
                ];
                self.isolation_level = errors.note(entry.choice(&legal));
            }
            "savepoints" => self.savepoints = errors.note(entry.bare()),
            "keep" => {
                let legal = [("always", Keep::Always), ("failed", Keep::Failed)];
                let bare = matches!(entry.value, entry::Value::Absent);
                self.keep = if bare {
                    Some(Keep::Always)
                } else {
                    errors.note(entry.choice(&legal))
                };
            }
            "expect" => {
                let list = errors.note(entry.list()).unwrap_or_default();
                self.expect = expect::expect(list, errors);
            }
            "crate" => {
                let path = entry
                    .text()
                    .and_then(|text| rust_path(entry, &text, "::ebbtide"));
                self.krate = errors.note(path);
            }
            "flavor" | "worker_threads" | "start_paused" => {
                self.runtime.read(option, entry, errors)
            }
            _ => errors.push(unknown("option", &entry.name, &OPTIONS)),
        }
    }
}

impl Runtime {
    fn read(&mut self, option: &str, entry: &Entry, errors: &mut Errors) {
        self.written.push(entry.name.clone());
        match option {
            "flavor" => {
                let legal = [
                    ("current_thread", Flavor::CurrentThread),
                    ("multi_thread", Flavor::MultiThread),
                ];
                self.flavor = errors.note(entry.choice(&legal));
            }
            "worker_threads" => {
                let number = entry
                    .number()
                    .and_then(|number| match usize::try_from(number) {
                        Ok(0) | Err(_) => Err(entry.error("`worker_threads` is at least 1")),
                        Ok(number) => Ok(number),
                    });
                self.worker_threads = errors.note(number);
            }
            _ => self.start_paused = errors.note(entry.switch()),
        }
    }

    /// For a function that has a runtime.
    pub(crate) fn check(&self, errors: &mut Errors) {
        let written = |option: &str| self.written.iter().find(|name| name.keyword() == option);
        // A flavor that was misspelt is an error of its own, and may well be the one wanted here.
        if written("flavor").is_some() && self.flavor.is_none() {
            return;
        }
        let multi_thread = self.flavor == Some(Flavor::MultiThread);
        if let (Some(name), false) = (written("worker_threads"), multi_thread) {
            errors.add(
                name,
                "`worker_threads` goes with `flavor = \"multi_thread\"`",
            );
        }
        if let (Some(name), true) = (written("start_paused"), multi_thread) {
            errors.add(
                name,
                "`start_paused` goes with `flavor = \"current_thread\"`",
            );
        }
    }

    /// For a function that has none.
    pub(crate) fn refuse(&self, errors: &mut Errors) {
        for option in &self.written {
            errors.add(
                option,
                format!("{option} is for async functions, and this function is not async"),
            );
        }
    }
}

fn migrations(entry: &Entry, package: Option<&Path>) -> syn::Result<Migrations> {
    match entry.literal() {
        Some(Lit::Str(dir)) => match package.map(|package| package.join(dir.value())) {
            Some(path) if !path.is_dir() => Err(entry.error(format!(
                "there is no directory {} in the package's root",
                dir.value()
            ))),
            _ => Ok(Migrations::Dir(dir)),
        },
        Some(Lit::Bool(switch)) if !switch.value => Ok(Migrations::Without),
        Some(Lit::Bool(_)) => {
            Err(entry
                .error("`migrations = true` says nothing: they are applied unless it is `false`"))
        }
        _ => Err(entry.error("`migrations` wants a directory or `false`: `migrations = \"...\"`")),
    }
}

fn rust_path(entry: &Entry, text: &LitStr, example: &str) -> syn::Result<syn::Path> {
    text.parse().map_err(|_| {
        entry.error(format!(
            "{} wants a path in a string: \"{example}\"",
            entry.name
        ))
    })
}

fn unknown(what: &str, name: &Name, legal: &[&str]) -> syn::Error {
    let word = name.keyword();
    let limit = (word.chars().count() / 3).max(1);
    let distances = legal
        .iter()
        .map(|legal| (strsim::osa_distance(&word, legal), legal));
    let advice = match distances.min().filter(|(distance, _)| *distance <= limit) {
        Some((_, near)) => format!("did you mean `{near}`? "),
        None => String::new(),
    };
    let legal: Vec<_> = legal.iter().map(|legal| format!("`{legal}`")).collect();
    syn::Error::new_spanned(
        name,
        format!(
            "unknown {what} {name}; {advice}legal are: {}",
            legal.join(", ")
        ),
    )
}
