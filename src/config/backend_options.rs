//! A backend and its options, as the builder takes them.

use super::keys::{Auto, Container, External, Layer, Native};
use super::source::{Source, Sourced};
use super::value::Backend;

/// A backend and its options: what [`Builder::backend`](crate::config::Builder::backend) takes.
///
/// A [`Backend`] becomes that backend without options. [`Container`], [`Native`], [`External`] and
/// [`Auto`] have a method for each option of their backend, and for no other option.
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct BackendOptions {
    pub(super) layer: Layer,
}

impl BackendOptions {
    fn new(backend: Backend, options: Layer) -> Self {
        let backend = Some(Sourced::new(backend, Source::Builder));
        Self {
            layer: Layer { backend, ..options },
        }
    }
}

impl From<Backend> for BackendOptions {
    fn from(backend: Backend) -> Self {
        Self::new(backend, Layer::default())
    }
}

/// The constructor of each type of options, and its conversion.
macro_rules! options_of {
    ($($backend:ident)+) => {$(
        impl $backend {
            /// Creates options without any value.
            pub fn new() -> Self {
                Self::default()
            }
        }

        impl From<$backend> for BackendOptions {
            fn from(options: $backend) -> Self {
                Self::new(Backend::$backend, options.layer)
            }
        }
    )+};
}

options_of!(Auto Container Native External);
