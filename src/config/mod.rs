//! The configuration: the [`Builder`], the types of its values, and the resolved [`Plan`].
//!
//! Three sources have values: variables (the process environment, then `.env`), the [`Builder`] and
//! `ebbtide.toml`. The values of a stronger source replace those of a weaker one, and defaults fill
//! what is left:
//!
//! ```text
//! process environment > .env > Builder > ebbtide.toml > defaults
//! ```

// Each source becomes a `keys::Layer`: optional values, each with its place. This directory is the
// only reader of the environment and of configuration files.
//
// | file | noun |
// |---|---|
// | `source` | where a value came from |
// | `value`, `migrations`, `migration_command`, `migration_version`, `missing_tables`, `isolation_level`, `locale_provider` | the types of the values |
// | `extension` | an extension with its schema and version |
// | `role`, `secret` | a role that ebbtide creates; a password that is not printed |
// | `expect` | what the database must contain before a test runs |
// | `keys` | every key: the one place to add a key, or to change one |
// | `backend_options` | a backend and its options, as the builder takes them |
// | `declare` | the macro behind `keys`: what follows from an entry |
// | `key` | the names of a key, and how errors name it |
// | `key_type` | the types that a key can have: how a value is read, checked, merged and printed |
// | `contents`, `settings` | the same for migrations and seeds, and for PostgreSQL's settings |
// | `raw_value` | one unparsed text and its place; its parsers' errors name both |
// | `env`, `dot_env`, `variables`, `builder`, `file` | the sources |
// | `named_plan` | the named plans of `ebbtide.toml`, and what they inherit |
// | `section` | one section of `ebbtide.toml` |
// | `document` | `ebbtide.toml` as entries with line numbers |
// | `sqlx_toml` | what `sqlx.toml` sets about migrations |
// | `engine_hints`, `engine_key` | the variables that choose a container engine |
// | `package_root` | the directory of the package under test |
// | `project` | the directories from the package up to the workspace root |
// | `nearest` | the legal word that a misspelt one is closest to |
// | `url` | a server's URL, and text without passwords |
// | `plan`, `row`, `table` | the result, and how it prints |

mod backend_options;
mod builder;
mod contents;
mod declare;
mod document;
mod dot_env;
mod engine_hints;
#[cfg(feature = "container")]
mod engine_key;
mod env;
pub(crate) mod expect;
mod extension;
mod file;
mod isolation_level;
mod key;
mod key_type;
mod keys;
mod locale_provider;
mod migration_command;
mod migration_version;
mod migrations;
mod missing_tables;
mod named_plan;
mod nearest;
pub(crate) mod package_root;
mod plan;
mod project;
mod raw_value;
mod role;
mod row;
mod secret;
mod section;
mod settings;
mod source;
mod sqlx_toml;
mod table;
mod url;
mod value;
mod variables;

#[cfg(test)]
mod tests;

pub use backend_options::BackendOptions;
#[cfg(feature = "container")]
pub(crate) use engine_hints::EngineHints;
pub(crate) use env::Environment;
pub use expect::Expect;
pub(crate) use expect::RustEnum;
pub use extension::Extension;
pub use isolation_level::IsolationLevel;
pub use keys::{Auto, Builder, Container, External, Native, Plan};
pub use locale_provider::LocaleProvider;
pub use migration_command::MigrationCommand;
pub use migration_version::MigrationVersion;
pub use migrations::Migrations;
pub(crate) use migrations::{Layout, MigrationFunction, SchemaSource};
pub(crate) use nearest::nearest;
pub(crate) use raw_value::format_duration;
pub use role::Role;
pub(crate) use secret::Secret;
pub use source::{Source, Sourced};
pub(crate) use sqlx_toml::SqlxToml;
pub(crate) use url::ServerUrl;
pub use value::{Backend, Cache, Dedicated, Keep, Storage};
