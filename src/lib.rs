//! A disposable PostgreSQL for every test.
//!
//! ebbtide starts a real PostgreSQL (a container, or this machine's binaries, or uses a server you name), installs extensions, migrates, seeds, checks that all of it really happened,
//! and gives each test a transaction on a database of its own, which is rolled back afterwards. Every test process
//! of a user shares one server and one prepared template, under `cargo test` and under nextest.
//!
//! ```no_run
//! # use ebbtide::Tx;
//! #[ebbtide::test]
//! async fn a_customer_starts_with_nothing(mut tx: Tx) -> ebbtide::Result<()> {
//!     sqlx::query("insert into customers (phone, first_name, last_name) values ('+34612000001', 'Laura', 'García')")
//!         .execute(&mut *tx)
//!         .await?;
//!     Ok(())
//! }
//! # fn main() {}
//! ```
//!
//! # Ways to ask for a database
//! | argument, function | what the test gets |
//! |---|---|
//! | [`Tx`], [`tx()`], [`tx_with`] | a connection inside a guarded transaction, rolled back |
//! | [`Sandbox`], [`sandbox()`] | a pool whose one connection sits in such a transaction: the application may begin and commit |
//! | [`Database`], [`database()`] | a database of its own: any number of connections, real commits, any driver |
//! | `PgPool`, `PoolConnection<Postgres>`, `PgConnectOptions`, `PgPoolOptions` | sqlx's own types, as in `#[sqlx::test]` |
//! | a type of yours | whatever your [`TestArg`] makes of these |
//!
//! The attribute is [`ebbtide::test`](macro@crate::test). The functions need none; tests that are not asynchronous have
//! [`blocking`]. Fixtures and migrations of some tests only are a [`Setup`].
//!
//! What to install, migrate and seed is read from `ebbtide.toml` beside the package's `Cargo.toml`, or said on
//! [`Harness::builder`]; an `EBBTIDE_*` variable beats both. Without any of them, `migrations/` and `seeds/` beside
//! the manifest are used.
//!
//! # Configuration
//! | `ebbtide.toml` | variable | legal values, default |
//! |---|---|---|
//! | `server.backend` | `EBBTIDE_BACKEND` | `auto`, `container`, `native`, `external`: see [below](#backends). `auto` |
//! | `server.postgres` | `EBBTIDE_POSTGRES` | a major version from 10. Any |
//! | `server.image` | `EBBTIDE_IMAGE` | an image that keeps the contract of the official one. `postgres:MAJOR`; without a wanted version `postgres:17`, or the newest `postgres` that the engine has |
//! | `server.url` | `EBBTIDE_URL`, `TEST_DATABASE_URL` | a server that runs already; chooses `external` (`TEST_DATABASE_URL` only when `external` is chosen) |
//! | `server.allow_remote` | `EBBTIDE_ALLOW_REMOTE` | `true` lets that server be on another machine. `false` |
//! | `server.linger` | `EBBTIDE_LINGER` | how long the server outlives its last user, such as `500ms`, `30s`, `5m`. `30s` |
//! | `server.keep` | `EBBTIDE_KEEP` | which tests' databases are kept to be looked at: `never`, `failed`, `always`. In the file and on the builder it holds for tests that do not say it themselves. `never` |
//! | `server.keep_for` | `EBBTIDE_KEEP_FOR` | how long a kept database stays, and with it its server. `1h` |
//! | `server.log_plans_slower_than` | `EBBTIDE_LOG_PLANS_SLOWER_THAN` | shows the plans of statements that take longer, such as `50ms`. None |
//! | `server.storage` | `EBBTIDE_STORAGE` | `memory`, `disk`, or `auto`: memory when 2 GiB are free there and no other user has taken our directory's name. `auto` |
//! | `server.cache` | `EBBTIDE_CACHE` | `never`, or `auto`: prepared data of a container is kept in a volume for the next. `auto` |
//! | `server.dedicated` | `EBBTIDE_DEDICATED` | `always`, `never`, or `auto`: a server of its own for contents that touch the whole server, such as `CREATE ROLE`: see [below](#roles-and-other-objects-of-the-server). `auto` |
//! | `server.settings` | | a table of PostgreSQL's own settings, which beat ours |
//! | `server.bin` | `EBBTIDE_PG_BIN` | the directory with `postgres` and `initdb`. Searched for |
//! | `server.state_dir` | `EBBTIDE_STATE_DIR` | a directory with a short path, whose parent exists. `$XDG_RUNTIME_DIR/ebbtide`, else `ebbtide-UID` in the temporary directory |
//! | `server.start_timeout` | `EBBTIDE_START_TIMEOUT` | `60s` |
//! | `provision.extensions` | `EBBTIDE_EXTENSIONS` | a list of names; in the variable with commas between them. None |
//! | `provision.migrations` | `EBBTIDE_MIGRATIONS` | a directory, a command: see [below](#migrations-from-elsewhere); `false`, in the variable `none`. `migrations` if it is there |
//! | `provision.seeds` | `EBBTIDE_SEEDS` | a directory; `false`, in the variable `none`. `seeds` if it is there |
//! | `provision.timeout` | `EBBTIDE_PROVISION_TIMEOUT` | limit for one migration, one seed file, and another process's build. `120s` |
//! | `provision.expect` | | `tables`, `rows`, `enums`: what must hold before a test runs |
//! | | `EBBTIDE_CONFIG` | the file itself, when it lies elsewhere |
//!
//! # Backends
//! - **`container`**: a container from an image, through Docker, Podman, or whatever speaks Docker's protocol. The engine
//!   is the one that `DOCKER_HOST` or a Docker context names, else the first that answers on the usual sockets. Its port
//!   is published on the loopback address (on the engine's address, when `DOCKER_HOST` is `tcp://`), with a random
//!   password.
//! - **`native`**: `postgres` and `initdb` of this machine, on a private Unix socket.
//! - **`external`**: the server of a URL, shared by everybody who names it: templates and copies are databases called
//!   `ebbtide_...`, leased by advisory locks. A role with `CREATEDB` is enough where the extensions are trusted ones.
//!   Several machines may share it; their URLs must name the same role, and lead to the same database for
//!   administration: `postgres`, or the URL's own where the role may not connect to that. A process needs a connection for
//!   each test that runs, and up to three more. It does not work through a pooler that gives each transaction another
//!   session, and refuses a server that ebbtide itself has started: that one is found without a URL.
//! - **`auto`**: a container if an engine answers and has the image or can pull it, else native.
//!   [`ServerReport::reason`] tells the choice, and so does one line of `tracing` at the level `info`.
//!
//! Printing [`Harness::plan`] shows every value with the place that it came from. Variables may also stand in a
//! `.env` file beside the manifest. `DATABASE_URL` is never read.
//!
//! # Roles and other objects of the server
//! A role, a tablespace, another database, `ALTER SYSTEM`: these belong to the whole server. On a shared server, other
//! projects would see them, and a second build would find them there. So contents that touch them get a dedicated server:
//! only tests with the same migrations, seeds, extensions, settings and expectations use it. Ebbtide reads the migrations,
//! seeds and fixtures for such statements, also in the bodies of `DO` blocks and functions. One line on stderr states the
//! file, the line and the statement when the server starts, and so does [`ServerReport::reason`].
//!
//! - A build that failed, or a template that was dropped, leaves nothing behind: the next build begins with the server as
//!   it was at first. Where statements cannot undo something, a new server takes its place.
//! - A fixture or a test's own migrations with such a statement get another dedicated server than the plan's.
//! - SQL that a command or a function sends cannot be seen, except in `.sql` files among the command's inputs: write
//!   `dedicated = "always"`. With `"never"` the server is shared in spite of such statements.
//! - An external server cannot be dedicated: such contents are refused there, unless `dedicated` is `"never"`.
//! - A container's dedicated server neither uses nor fills the volume with prepared data.
//!
//! # Migrations from elsewhere
//! A directory's layout is recognised by the names in it. Where they belong to several tools, or to another than it seems,
//! the layout is named: `migrations = { diesel = "migrations" }`, `EBBTIDE_MIGRATIONS=diesel:migrations`,
//! [`Migrations::diesel`].
//!
//! | layout | files | ledger |
//! |---|---|---|
//! | `sqlx` | `VERSION_description.sql`, `.up.sql` and `.down.sql` | `_sqlx_migrations` |
//! | `refinery` | `V1__name.sql`, `U1__name.sql`, also in directories below | `refinery_schema_history` |
//! | `diesel` | `VERSION_name/up.sql`, with `metadata.toml` where there is one | `__diesel_schema_migrations` |
//! | `sql` | every other `.sql` file, in the order of the names | none |
//!
//! Each file runs in a transaction of its own, unless its tool says otherwise (`-- no-transaction` as the first line in
//! `sqlx` and `sql`, `run_in_transaction = false` in diesel's `metadata.toml`). The ledger is written as the tool itself
//! does, which finds nothing pending afterwards.
//!
//! Any other tool is a command ([`MigrationCommand`]):
//!
//! ```toml
//! [provision.migrations]
//! command = ["alembic", "upgrade", "head"]
//! inputs = ["alembic.ini", "alembic"]  # files and directories whose content decides the outcome
//! directory = "."                      # where it runs; the file's own directory by default
//! url_variable = "DATABASE_URL"        # the default
//! ```
//!
//! It gets the URL in that variable, and `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`. A native server's URL
//! leads to a Unix socket: `postgresql://postgres@/ebbtide_b_...?host=/directory&port=5432`. What it prints is shown when
//! it fails. A command that leaves no table behind is an error, whatever its ledger claims.
//!
//! Runners that are embedded in the test's binary are a function: [`Migrations::function`].
//!
//! # Seeds
//! Files are applied in the order of their names, each in one transaction.
//! - `.sql`: statements. Rows that an `ON CONFLICT` leaves out are counted as skipped.
//! - `.csv`: a header row with column names, then rows for the table in the file's name (`010_services.csv`). The
//!   fastest form for large seeds.
//! - `.json`: an array of objects for the table in the file's name, or an object of such arrays by table.
//!
//! Rows of CSV and JSON files that conflict with a row that is there are skipped and counted. SQL and CSV are read and sent
//! little by little; a JSON file, and one statement of SQL, are in memory as a whole.
//!
//! # Cleanup
//! Nothing depends on a `Drop` that may never run. A supervisor ends the server and removes its directory when no
//! process has used it for the plan's `linger` (30 s by default); a test process that is killed holds no lease. A
//! container watches itself in the same way: without a connection for that time it ends, and the engine removes it. What
//! stays is a cache of `initdb`'s output and empty lock files in the state directory, an empty directory in `/dev/shm`, and one
//! volume of the engine for each image (`ebbtide-cache-...`, at most four; `cache = "never"` does without).
//! Without `/proc` (macOS), a native server whose supervisor was killed as well has to be ended by hand.
//!
//! On an external server templates and copies stay, for the next run: see [`Harness::clean_up`].
//!
//! # Can the schema be trusted?
//! A template is verified when it is built: the ledger against the migration files (a version that is missing, unknown,
//! changed or dirty), the ledger against the tables that the migrations create, and `provision.expect`. Besides:
//!
//! - [`Harness::diff`] compares any database with what the migrations make, on another server too, and writes nothing
//!   there. [`Schema::read`] and [`Schema::compare`] do the same for databases of one's own choice.
//! - [`Harness::check_reversible`] takes every migration up, down and up again, and lists what a way down has left.
//! - [`PgEnum`] has the labels of a Rust enum compared with the database's before any test runs.
//! - [`Harness::health`] tells in plain values how server, ledger and schema are.
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `container` | yes | the container backend, on `testcontainers` |
//! | `macros` | yes | the attribute [`ebbtide::test`](macro@crate::test) |
//! | `progress` | yes | a spinner on a terminal's stderr for steps that take over a second; on any other stderr a line for steps that take over two |
//! | `rstest` | no | `ebbtide::fixtures`, fixtures for the `rstest` crate: `tx`, `sandbox`, `database` |
//! | `tls` | no | encrypted connections: to an external server (`sslmode`), and to an engine behind `tcp://` with certificates |

mod advice;
pub mod blocking;
mod catalog;
mod clean_up;
mod config;
mod conn;
mod error;
#[cfg(feature = "rstest")]
pub mod fixtures;
mod harness;
mod lane;
mod lane_lock;
mod lexer;
#[doc(hidden)]
pub mod macro_support;
mod names;
mod process;
mod progress;
mod provision;
mod scarcity;
mod server;
mod sql_error;
mod template;
mod test_arg;
mod wait;

#[cfg(feature = "macros")]
pub use ebbtide_macros::{PgEnum, test};

pub use catalog::{Difference, LedgerClaim, ObjectKind, Schema, SchemaDiff, SchemaObject};
pub use clean_up::CleanUpReport;
pub use config::{
    Backend, Builder, Cache, Dedicated, Expect, Keep, Layout, MigrationCommand, Migrations, PgEnum,
    Plan, RustEnum, ServerUrl, Source, Sourced, Storage,
};
pub use error::{Error, ErrorKind, Result};
pub use harness::{DriftReport, Harness, Health, ServerReport, Setup, TemplateReport, harness};
pub use lane::{Database, IsolationLevel, KeptDatabase, Sandbox, Tx, TxOptions};
pub use names::Fingerprint;
pub use provision::{
    MigrationReport, PhaseReport, ProvisionReport, ReversibleReport, ReversibleStep, SeedReport,
};
pub use test_arg::{TestArg, TestContext, database, sandbox, tx, tx_with};
