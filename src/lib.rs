//! A disposable PostgreSQL for every test.
//!
//! ebbtide starts a real PostgreSQL, installs extensions, migrates, seeds, checks that all of it really happened,
//! and gives each test a transaction on a database of its own, which is rolled back afterwards. Every test process
//! of a user shares one server and one prepared template, under `cargo test` and under nextest.
//!
//! ```no_run
//! # /*
//! #[tokio::test]
//! # */
//! async fn a_customer_starts_with_nothing() -> ebbtide::Result<()> {
//!     let mut tx = ebbtide::tx().await?;
//!     sqlx::query("insert into customers (phone, first_name, last_name) values ('+34612000001', 'Laura', 'García')")
//!         .execute(&mut *tx)
//!         .await?;
//!     tx.close().await
//! }
//! ```
//!
//! What to install, migrate and seed is read from `ebbtide.toml` beside the package's `Cargo.toml`, or said on
//! [`Harness::builder`]; an `EBBTIDE_*` variable beats both. Without any of them, `migrations/` and `seeds/` beside
//! the manifest are used.
//!
//! # Cleanup
//! Nothing depends on a `Drop` that may never run. A supervisor ends the server and removes its folder when no
//! process has used it for the plan's `linger` (30 s by default); a test process that is killed holds no lease. What
//! stays is a cache of `initdb`'s output and empty lock files in the state folder.
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `progress` | yes | a spinner on a terminal's stderr for steps that take over a second |
//! | `rstest` | no | `ebbtide::fixtures`, fixtures for the `rstest` crate |

mod catalog;
mod config;
mod conn;
mod error;
#[cfg(feature = "rstest")]
pub mod fixtures;
mod harness;
mod lane;
mod lane_files;
mod names;
mod process;
mod progress;
mod provision;
mod reap;
mod server;
mod sql_error;
mod template;
mod wait;

pub use config::{Backend, Builder, Expect, Migrations, Plan, ServerUrl, Source, Sourced, Storage};
pub use error::{Error, ErrorKind, Result};
pub use harness::{Harness, ServerReport, TemplateReport, harness, tx};
pub use lane::{Kept, Tx};
pub use names::Fingerprint;
pub use provision::{MigrationReport, PhaseReport, ProvisionReport, SeedReport};
