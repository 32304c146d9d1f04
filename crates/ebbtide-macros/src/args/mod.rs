//! The options in the attribute's parentheses, parsed and checked.

mod entry;
mod expectations;
mod fixtures;
mod last_version;
#[cfg(test)]
mod tests;

use std::path::Path;

use proc_macro2::TokenStream;
use syn::{Lit, LitStr};

use crate::errors::Errors;
use entry::{Entry, Name, entries};

pub(crate) use entry::alternatives;
pub(crate) use expectations::{Expectation, RustType};
pub(crate) use last_version::LastVersion;

const OPTIONS: [&str; 14] = [
    "fixtures",
    "migrations",
    "migrator",
    "migrations_up_to",
    "pool",
    "role",
    "isolation_level",
    "savepoints",
    "keep",
    "expect",
    "flavor",
    "worker_threads",
    "start_paused",
    "crate",
];

/// The options of one test. An option with an error is missing.
#[derive(Default)]
pub(crate) struct Args {
    /// Paths relative to the test's source file.
    pub(crate) fixtures: Vec<LitStr>,
    pub(crate) migrations: Option<Migrations>,
    pub(crate) migrations_up_to: Option<LastVersion>,
    pub(crate) pool: Option<PoolKind>,
    pub(crate) role: Option<LitStr>,
    pub(crate) isolation_level: Option<IsolationLevel>,
    /// Present if the option is.
    pub(crate) savepoints: Option<()>,
    pub(crate) keep: Option<Keep>,
    pub(crate) expect: Vec<Expectation>,
    pub(crate) runtime: Runtime,
    pub(crate) krate: Option<syn::Path>,
}

impl Args {
    /// Whether an option changes what a database contains, or must contain.
    pub(crate) fn has_contents(&self) -> bool {
        !self.fixtures.is_empty()
            || self.migrations.is_some()
            || self.migrations_up_to.is_some()
            || !self.expect.is_empty()
    }
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
    /// The names of the options, for the spans of errors.
    written: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Flavor {
    CurrentThread,
    MultiThread,
}

/// Parses the attribute. `package` is the directory that `migrations` is relative to.
pub(crate) fn parse(tokens: TokenStream, package: Option<&Path>, errors: &mut Errors) -> Args {
    let mut args = Args::default();
    let mut seen: Vec<String> = Vec::new();
    for entry in entries(tokens, errors) {
        let option = entry.name.keyword();
        let fits_once = option != "fixtures" && OPTIONS.contains(&option.as_str());
        if fits_once && seen.contains(&option) {
            errors.add(&entry.name, repeated(&entry.name));
            continue;
        }
        let incompatible = match option.as_str() {
            "migrations" => "migrator",
            "migrator" => "migrations",
            _ => "",
        };
        if seen.iter().any(|option| option == incompatible) {
            errors.add(
                &entry.name,
                "`migrations` and `migrator` must not be combined: remove one of them",
            );
        }
        args.read(&option, &entry, package, errors);
        seen.push(option);
    }
    if let (Some(Migrations::Without), Some(last)) = (&args.migrations, &args.migrations_up_to) {
        errors.add(
            &last.version,
            "`migrations_up_to` needs migrations: remove it, or `migrations = false`",
        );
    }
    args
}

impl Args {
    fn read(&mut self, option: &str, entry: &Entry, package: Option<&Path>, errors: &mut Errors) {
        match option {
            "fixtures" => {
                let list = errors.record(entry.list()).unwrap_or_default();
                self.fixtures.extend(fixtures::fixtures(list, errors));
            }
            "migrations" => self.migrations = errors.record(migrations(entry, package)),
            "migrator" => {
                let path = entry
                    .text()
                    .and_then(|text| rust_path(entry, &text, "crate::MIGRATOR"));
                self.migrations = errors.record(path).map(Migrations::Migrator);
            }
            "migrations_up_to" => {
                self.migrations_up_to = errors.record(LastVersion::of(entry));
            }
            "pool" => {
                let legal = [
                    ("sandbox", PoolKind::Sandbox),
                    ("database", PoolKind::Database),
                ];
                self.pool = errors.record(entry.choice(&legal));
            }
            "role" => self.role = errors.record(role(entry)),
            "isolation_level" => {
                let legal = [
                    ("read committed", IsolationLevel::ReadCommitted),
                    ("repeatable read", IsolationLevel::RepeatableRead),
                    ("serializable", IsolationLevel::Serializable),
                ];
                self.isolation_level = errors.record(entry.choice(&legal));
            }
            "savepoints" => self.savepoints = errors.record(entry.no_value()),
            "keep" => {
                let legal = [("always", Keep::Always), ("failed", Keep::Failed)];
                self.keep = errors.record(entry.choice(&legal));
            }
            "expect" => {
                let list = errors.record(entry.list()).unwrap_or_default();
                self.expect = expectations::expect(list, errors);
            }
            "crate" => {
                let path = entry
                    .text()
                    .and_then(|text| rust_path(entry, &text, "::ebbtide"));
                self.krate = errors.record(path);
            }
            "flavor" | "worker_threads" | "start_paused" => {
                self.runtime.read(option, entry, errors);
            }
            _ => errors.push(unknown("option", "", &entry.name, &OPTIONS)),
        }
    }
}

/// The name of a role, which no server can have empty.
fn role(entry: &Entry) -> syn::Result<LitStr> {
    let name = entry.text()?;
    if name.value().trim().is_empty() {
        return Err(entry.error("`role` must be the name of a role, for example `role = \"app\"`"));
    }
    Ok(name)
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
                self.flavor = errors.record(entry.choice(&legal));
            }
            "worker_threads" => {
                let number = entry
                    .number()
                    .and_then(|number| match usize::try_from(number) {
                        Ok(0) | Err(_) => Err(entry.error(
                            "`worker_threads` must be at least 1, for example `worker_threads = 2`",
                        )),
                        Ok(number) => Ok(number),
                    });
                self.worker_threads = errors.record(number);
            }
            _ => self.start_paused = errors.record(entry.switch()),
        }
    }

    /// Checks the options of an async function.
    pub(crate) fn check(&self, errors: &mut Errors) {
        let written = |option: &str| self.written.iter().find(|name| name.keyword() == option);
        // A misspelt flavor already has an error, and may be the one that the other options need.
        if written("flavor").is_some() && self.flavor.is_none() {
            return;
        }
        let multi_thread = self.flavor == Some(Flavor::MultiThread);
        if let (Some(name), false) = (written("worker_threads"), multi_thread) {
            errors.add(
                name,
                "`worker_threads` needs `flavor = \"multi_thread\"`: \
                 set it, or remove `worker_threads`",
            );
        }
        if let (Some(name), true) = (written("start_paused"), multi_thread) {
            errors.add(
                name,
                "`start_paused` needs `flavor = \"current_thread\"`: \
                 set it, or remove `start_paused`",
            );
        }
    }

    /// Records an error for each option, because a function that is not async has no runtime.
    pub(crate) fn forbid(&self, errors: &mut Errors) {
        for option in &self.written {
            errors.add(
                option,
                format!(
                    "{option} needs an async function: make this function async, or remove {option}"
                ),
            );
        }
    }
}

fn migrations(entry: &Entry, package: Option<&Path>) -> syn::Result<Migrations> {
    match entry.literal() {
        Some(Lit::Str(dir)) => match package.map(|package| package.join(dir.value())) {
            Some(path) if !path.is_dir() => Err(entry.error(format!(
                "`migrations` must be a directory, relative to the package, \
                 but there is no directory \"{}\": create it, or correct the path",
                dir.value()
            ))),
            _ => Ok(Migrations::Dir(dir)),
        },
        Some(Lit::Bool(switch)) if !switch.value => Ok(Migrations::Without),
        Some(Lit::Bool(_)) => Err(entry.error(
            "`migrations` must be a directory or `false`: remove `migrations = true`, \
                 because migrations are applied by default",
        )),
        _ => Err(entry.error(
            "`migrations` must be a directory or `false`, \
             for example `migrations = \"migrations\"`",
        )),
    }
}

fn rust_path(entry: &Entry, text: &LitStr, example: &str) -> syn::Result<syn::Path> {
    text.parse().map_err(|_| {
        entry.error(format!(
            "{} must be a Rust path in a string, for example \"{example}\"",
            entry.name
        ))
    })
}

/// The error of a name that comes a second time.
fn repeated(name: &Name) -> String {
    format!("{name} must not be repeated: remove one of the two")
}

/// The error of a name that is not among `legal`. `noun` is the kind of name, and `of` its context.
fn unknown(noun: &str, of: &str, name: &Name, legal: &[&str]) -> syn::Error {
    let word = name.keyword();
    let limit = (word.chars().count() / 3).max(1);
    let distances = legal
        .iter()
        .map(|legal| (strsim::osa_distance(&word, legal), legal));
    let proposal = match distances.min().filter(|(distance, _)| *distance <= limit) {
        Some((_, closest)) => format!("did you mean `{closest}`? "),
        None => String::new(),
    };
    let legal: Vec<_> = legal.iter().map(|legal| format!("`{legal}`")).collect();
    syn::Error::new_spanned(
        name,
        format!(
            "unknown {noun}{of}: {name}; {proposal}legal {noun}s: {}",
            legal.join(", ")
        ),
    )
}
