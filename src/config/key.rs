//! The names of a key, and how errors name it. `keys` declares the keys.

use super::nearest::nearest;
use super::source::Source;
use super::value::Backend;

/// The names of one value that the user can configure.
#[derive(Debug)]
pub(crate) struct Key {
    /// The path in `ebbtide.toml`.
    pub(super) path: &'static str,
    /// The variable; empty if the key has none.
    pub(super) variable: &'static str,
    /// The method that sets the value in code: the builder's, or that of the options of the one
    /// backend that uses the key.
    pub(super) method: &'static str,
    /// The backends that use the value; empty if all do.
    pub(super) backends: &'static [Backend],
    /// The legal values, for help texts.
    pub(super) legal: &'static str,
    /// The row in the documentation: what the value means.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a unit test compares it with the page")
    )]
    pub(super) about: &'static str,
}

impl Key {
    /// A key inside the table of another key, which has no variable and no row of its own.
    pub(super) const fn part(
        path: &'static str,
        method: &'static str,
        legal: &'static str,
    ) -> Self {
        Self {
            path,
            variable: "",
            method,
            backends: &[],
            legal,
            about: "",
        }
    }

    /// The place and name of a value: the subject of every error about it.
    pub(super) fn subject(&self, source: &Source) -> String {
        match source {
            Source::Variable(name) => (*name).to_owned(),
            Source::DotEnv(name) => format!(".env: {name}"),
            Source::File { .. } => format!("{source}: {}", source.path_of(self.path)),
            Source::Builder | Source::Attribute | Source::Several(_) | Source::Default => {
                match self.backends {
                    // `Auto` may have the method, too.
                    [_] => format!("the argument of {}()", self.method),
                    _ => format!("the argument of Builder::{}", self.method),
                }
            }
        }
    }

    /// A legal value as the source would write it, for the help of an error.
    pub(super) fn example(&self, source: &Source, value: &str) -> String {
        match source {
            Source::Variable(name) | Source::DotEnv(name) => format!("for example {name}={value}"),
            Source::File { .. } => format!("for example {} = {value:?}", self.name()),
            Source::Builder | Source::Attribute | Source::Several(_) | Source::Default => {
                format!("for example {value}")
            }
        }
    }

    /// Whether the backend uses the value. `auto` may become any of its candidates.
    pub(super) fn is_used_by(&self, backend: Backend) -> bool {
        let candidates: &[Backend] = match backend {
            Backend::Auto => &Backend::AUTO_CANDIDATES,
            one => &[one],
        };
        self.backends.is_empty() || candidates.iter().any(|one| self.backends.contains(one))
    }

    /// The key's name without its section.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The key's section in `ebbtide.toml`.
    pub(super) fn section(&self) -> &'static str {
        self.path.split('.').next().unwrap_or(self.path)
    }
}

/// The variable with the path of the configuration file.
pub(super) const CONFIG: &str = "EBBTIDE_CONFIG";

/// The help for an unknown name: the closest legal one, if any is close, and all legal ones.
pub(super) fn unknown_key_help(name: &str, legal: &[&str]) -> String {
    let all = format!("legal keys: {}", legal.join(", "));
    match nearest(name, legal.iter().copied()) {
        Some(closest) => format!("did you mean {closest}? {all}"),
        None => all,
    }
}
