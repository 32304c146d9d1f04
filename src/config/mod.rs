//! What the user asked for, resolved once into a [`Plan`].
//!
//! Three voices speak: variables (the process environment, then `.env`), the [`Builder`] and
//! `ebbtide.toml`. Each becomes a [`layer::Layer`] of optional values that remember where they stand;
//! the stronger layer is laid over the weaker one, and defaults fill what is left. This directory is the
//! only reader of the environment and of configuration files.
//!
//! | file | noun |
//! |---|---|
//! | `source` | where a value came from |
//! | `value`, `migrations` | the types of the values |
//! | `expect` | what must hold before a test runs |
//! | `key` | the table of keys: path in the file, variable, builder method, legal values |
//! | `given` | one raw text and its place, parsed with errors that name both |
//! | `layer` | what one voice says |
//! | `env`, `dot_env`, `builder`, `file` | the voices |
//! | `document` | `ebbtide.toml` as entries with line numbers |
//! | `engine` | what the environment says of container engines |
//! | `project` | the directories from the package up to the workspace root |
//! | `plan`, `table` | the outcome, and how it prints |

mod builder;
mod document;
mod dot_env;
mod engine;
mod env;
mod expect;
mod file;
mod given;
mod key;
mod layer;
mod migrations;
mod nearest;
mod plan;
mod project;
mod source;
mod table;
mod url;
mod value;

#[cfg(test)]
mod tests;

pub use builder::Builder;
#[cfg(feature = "container")]
pub(crate) use engine::EngineHints;
pub(crate) use env::Environment;
pub use expect::{Expect, PgEnum, RustEnum};
pub(crate) use given::spell;
pub(crate) use migrations::MigrationFunction;
pub use migrations::{Layout, MigrationCommand, Migrations};
pub use plan::Plan;
pub use source::{Source, Sourced};
pub use url::ServerUrl;
pub use value::{Backend, Cache, Dedicated, Keep, Storage};
