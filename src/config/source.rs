//! Where a value came from.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

/// Where a value of the [`Plan`](crate::config::Plan) came from. Prints as the place, such as
/// `ebbtide.toml:3`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A method of the [`Builder`](crate::config::Builder).
    Builder,
    /// An environment variable, by name.
    Variable(&'static str),
    /// A variable in the file `.env`, by name.
    DotEnv(&'static str),
    /// A line of `ebbtide.toml`.
    File {
        /// The file: relative to the package's directory if it is inside, else absolute.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The named plan to whose section the line belongs. `None`: the default plan's.
        plan: Option<String>,
    },
    /// The attribute `#[ebbtide::test]`, when the test was compiled.
    Attribute,
    /// Several places, strongest first. Their values were merged.
    Several(Vec<Source>),
    /// No source has a value, so the default counts.
    Default,
}

impl Source {
    /// The path in `ebbtide.toml` of a key that this place sets, such as `plan.audit.server.linger`.
    pub(super) fn path_of(&self, key: &str) -> String {
        match self {
            Source::File {
                plan: Some(plan), ..
            } => format!("plan.{plan}.{key}"),
            _ => key.to_owned(),
        }
    }

    /// Both places, the stronger first.
    pub(super) fn and(self, weaker: Source) -> Source {
        let mut places = Vec::new();
        for source in [self, weaker] {
            match source {
                Source::Several(more) => places.extend(more),
                one => places.push(one),
            }
        }
        Source::Several(places)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Builder => f.write_str("builder"),
            Source::Variable(name) => f.write_str(name),
            Source::Attribute => f.write_str("#[ebbtide::test]"),
            Source::DotEnv(name) => write!(f, "{name} in .env"),
            Source::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Source::Several(sources) => {
                for (index, source) in sources.iter().enumerate() {
                    write!(f, "{}{source}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Source::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from. It dereferences to the value and prints as the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

impl<T> Sourced<T> {
    /// The value. Clearer than `*` where the dereference is easy to miss.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.value
    }

    pub(crate) fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }

    pub(crate) fn by_default(value: T) -> Self {
        Self::new(value, Source::Default)
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced::new(change(self.value), self.source)
    }
}

impl<T> Deref for Sourced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Sourced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_prints_as_a_place() {
        let file = Source::File {
            path: PathBuf::from("ebbtide.toml"),
            line: 3,
            plan: None,
        };
        assert_eq!(Source::Builder.to_string(), "builder");
        assert_eq!(
            Source::Variable("EBBTIDE_IMAGE").to_string(),
            "EBBTIDE_IMAGE"
        );
        assert_eq!(
            Source::DotEnv("EBBTIDE_IMAGE").to_string(),
            "EBBTIDE_IMAGE in .env"
        );
        assert_eq!(file.to_string(), "ebbtide.toml:3");
        assert_eq!(
            Source::Builder.and(file).to_string(),
            "builder, ebbtide.toml:3"
        );
        assert_eq!(Source::Default.to_string(), "default");
    }

    #[test]
    fn a_sourced_value_dereferences_and_prints_as_the_value() {
        let major = Sourced::new(17_u32, Source::Builder);
        assert_eq!(*major, 17);
        assert_eq!(*major.get(), 17);
        assert_eq!(major.to_string(), "17");
    }
}
