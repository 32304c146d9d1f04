//! A disposable PostgreSQL database for every test.
//!
//! ebbtide starts a real PostgreSQL server: in a container, or from the binaries of this machine.
//! It can also use a running server whose URL you configure. On the server, ebbtide builds a
//! *template* once: it installs extensions, applies migrations, loads seeds, and verifies the
//! result. Each test gets a private copy of the template. With the usual argument, [`Tx`], the test
//! runs in a transaction on its copy, and ebbtide rolls the transaction back.
//!
//! All test processes of a user that have the same configuration share one server and one template,
//! under `cargo test` and under nextest. The server ends by itself when no process has used it for
//! 30 seconds.
//!
//! **Unix only (Linux and macOS).** ebbtide needs Rust 1.94 or later, sqlx 0.9, and PostgreSQL 10
//! or later. An external server needs PostgreSQL 13 or later. PostgreSQL comes from a container
//! engine (Docker, Podman), from this machine's server binaries, or from a running server that you
//! name.
//!
//! # A first test
//! With `create table customers (phone text primary key, name text not null)` in
//! `migrations/1_customers.sql`, this is a whole test. `cargo test` does the rest.
//!
//! ```no_run
//! use ebbtide::Tx;
//!
//! #[ebbtide::test]
//! async fn a_phone_number_is_taken_once(mut tx: Tx) -> ebbtide::Result<()> {
//!     let insert = "insert into customers (phone, name) values ('+34612000001', 'Laura')";
//!     sqlx::query(insert).execute(&mut *tx).await?;
//!
//!     let again = sqlx::query(insert).execute(&mut *tx).await;
//!     assert!(again.is_err(), "the phone number is a primary key");
//!     Ok(())
//! }
//! # fn main() {}
//! ```
//!
//! # Which argument to take
//! | argument, or function | the test gets | at its end |
//! |---|---|---|
//! | [`Tx`], [`tx()`], [`TxOptions::open`] | one connection inside a guarded transaction | rolled back |
//! | [`Sandbox`], [`sandbox()`] | a pool whose one connection is in such a transaction: the application may begin and commit | rolled back |
//! | [`Database`], [`database()`] | a database of its own: several connections, real commits, a URL for any driver | reset, or copied again |
//! | `PgPool`, `PoolConnection<Postgres>`, `PgConnectOptions`, `PgPoolOptions` | sqlx's types, as in `#[sqlx::test]`, on a `Database` | reset, or copied again |
//! | a type of yours | what your [`TestArg`] makes of the types above | the same as for these types |
//!
//! Start with `Tx`, which is the cheapest. Take a `Sandbox` for code that needs a pool, and a
//! `Database` for code that needs several connections at once.
//!
//! A test can return to an earlier state of its database: see [`Tx::checkpoint`] and
//! [`Database::checkpoint`]. [`Database::fork`] makes another database with the same contents.
//!
//! The attribute is [`ebbtide::test`](macro@crate::test). The functions work without it, and
//! [`blocking`] has functions for tests that are not asynchronous. With a [`Setup`], some tests get
//! other migrations, additional fixtures, or additional expectations. With a named plan, a test has
//! databases with different contents: see [Several databases](#several-databases).
//!
//! # When something fails
//! - **The server cannot be started, or the template cannot be built.** Each test of the process
//!   fails with the same [`Error`]. Its `Debug` output, which a test prints, is a report: what
//!   failed, where in which file, what the server answered, and a remedy. [`Error::kind`] and
//!   [`Error::help`] return the parts. ebbtide drops the half-built database.
//! - **A test fails.** A report on stderr shows the errors of its sessions, from the server's log.
//!   It also shows the locks that the test waited for, and the tests that held the locks.
//! - **A test passes but does not end properly.** The test fails if a deferred constraint is
//!   violated, if the test itself ended the transaction, or if its database is still in use.
//!   Without the attribute, call `close().await` to get this error: `drop` can only print it.
//! - **You want to inspect the database.** `EBBTIDE_KEEP=failed cargo test` keeps the databases
//!   of failed tests for an hour, and prints a `psql` command for each.
//! - **A test process is killed.** Before another test uses its database, ebbtide copies or resets
//!   the database. The server ends as always. Nothing has to be removed by hand.
//!
//! # Configuration
//! Values come from `EBBTIDE_*` variables, from [`Harness::builder`], and from the nearest
//! `ebbtide.toml`. That file is beside the package's `Cargo.toml` or in a directory above, up to
//! the root of the workspace or of the Git checkout. The variable overrides the builder, and the
//! builder overrides the file. Variables may also be in a file `.env` beside `Cargo.toml` or in
//! that root. ebbtide never reads `DATABASE_URL`. Without any configuration, ebbtide uses the
//! directories `migrations` and `seeds` of the package.
//!
//! cargo and nextest name the package's directory in `CARGO_MANIFEST_DIR`. A debugger, or a shell
//! that starts a copied executable, does not. Then a test with `#[ebbtide::test]` uses the directory
//! in which it was compiled. Without the attribute, or if that directory does not exist on the
//! machine, the error asks for `CARGO_MANIFEST_DIR` or
//! [`Builder::package_root`](config::Builder::package_root). The current directory never counts.
//!
//! In code, a key of one backend is a method of that backend's options:
//! `.backend(Container::new().image("postgres:17-alpine"))`, see
//! [`Builder::backend`](config::Builder::backend). Every other key is a method of the builder. A
//! file or a variable can set a key for a backend that is not selected, and the value has no effect.
//!
//! Printing [`Harness::plan`] shows every value with its source, and marks the values that the
//! selected backend does not use. A duration is a whole number with a unit: `500ms`, `30s`, `5m`,
//! `1h`. A relative path in the file is relative to the file's directory. Any other relative path is
//! relative to the package's directory.
//!
//! <!-- keys -->
//! | `ebbtide.toml` | variable | backends | meaning and legal values | default |
//! |---|---|---|---|---|
//! | `server.backend` | `EBBTIDE_BACKEND` | all | `auto`, `container`, `native`, `external`: see [Backends](#backends) | `auto` |
//! | `server.postgres` | `EBBTIDE_POSTGRES` | all | a major version from 10 | any |
//! | `server.image` | `EBBTIDE_IMAGE` | `container` | an image with the official image's entrypoint and variables. By version: `postgres:MAJOR`; without a major version `postgres:17`, or the newest `postgres` that the engine has | by version |
//! | `server.url` | `EBBTIDE_URL` | `external` | the URL of a running server; it selects `external`. If `external` is selected, `TEST_DATABASE_URL` counts too | none |
//! | `server.allow_remote` | `EBBTIDE_ALLOW_REMOTE` | `external` | `true` allows that server to be on another machine | `false` |
//! | `server.role_password` | `EBBTIDE_ROLE_PASSWORD` | `external` | the password of the roles in `provision.owner` and `test.role` on that server | none |
//! | `server.linger` | `EBBTIDE_LINGER` | `container`, `native` | how long an unused server keeps running | `30s` |
//! | `server.keep` | `EBBTIDE_KEEP` | all | which tests' databases are kept: `never`, `failed`, `always`. The variable overrides a test's own option `keep`, which overrides file and builder | `never` |
//! | `server.keep_for` | `EBBTIDE_KEEP_FOR` | all | how long a kept database stays, and its server with it | `1h` |
//! | `server.log_plans_slower_than` | `EBBTIDE_LOG_PLANS_SLOWER_THAN` | all | the plans of statements that take longer are reported | no |
//! | `server.storage` | `EBBTIDE_STORAGE` | `container`, `native` | `memory`, `disk`, or `auto`: memory (`/dev/shm`) if 2 GiB are free there and no other user has taken ebbtide's directory name. Tests share databases that exist if a further copy takes more than half of the memory that is available | `auto` |
//! | `server.cache` | `EBBTIDE_CACHE` | `container`, `native` | `never`, or `auto`: a server's templates are kept for the next one, in a volume or in the state directory | `auto` |
//! | `server.dedicated` | `EBBTIDE_DEDICATED` | all | `always`, `never`, or `auto`: see [Roles and other objects of the server](#roles-and-other-objects-of-the-server) | `auto` |
//! | `server.settings` | | all | a table of PostgreSQL settings, which override ebbtide's own | none |
//! | `server.bin` | `EBBTIDE_PG_BIN` | `native` | the directory of `postgres` and `initdb` | searched for |
//! | `server.state_dir` | `EBBTIDE_STATE_DIR` | `container`, `native` | a directory with a short path, whose parent exists | `$XDG_RUNTIME_DIR/ebbtide` (not for root), else `ebbtide-UID` in the temporary directory |
//! | `server.start_timeout` | `EBBTIDE_START_TIMEOUT` | all | limit for the server's start | `1m` |
//! | `provision.extensions` | `EBBTIDE_EXTENSIONS` | all | a list of names, or of tables with `name`, `schema`, `version`, `cascade`; in the variable `pg_trgm, uuid-ossp schema ext version 1.1` | none |
//! | `provision.locale` | `EBBTIDE_LOCALE` | all | the locale of the database, such as `es_ES.UTF-8`; with `icu` such as `es-ES` | the server's |
//! | `provision.encoding` | `EBBTIDE_ENCODING` | all | the encoding of the database, such as `LATIN1` | the server's |
//! | `provision.locale_provider` | `EBBTIDE_LOCALE_PROVIDER` | all | who sorts texts: `libc`, `icu` (from PostgreSQL 15 on), `builtin` (from 17 on) | `libc` |
//! | `provision.roles` | | all | roles to create: a list of names, or of tables with `name`, `member_of`, `grants`: see [Roles of the application](#roles-of-the-application) | none |
//! | `provision.owner` | `EBBTIDE_OWNER` | all | the role that owns the database; migrations and seeds run as this role | ebbtide's own role |
//! | `provision.bootstrap` | `EBBTIDE_BOOTSTRAP` | all | a directory of SQL files that run after the extensions and before the first migration; `false`, in the variable `none` | none |
//! | `provision.migrations` | `EBBTIDE_MIGRATIONS` | all | a directory, a command, or an array of them: see [Migrations](#migrations); `false`, in the variable `none` | `migrations-dir` in `sqlx.toml`, else `migrations` if it exists |
//! | `provision.seeds` | `EBBTIDE_SEEDS` | all | a directory; `false`, in the variable `none` | `seeds` if it exists |
//! | `provision.timeout` | `EBBTIDE_PROVISION_TIMEOUT` | all | limit for one migration, for one seed file, and for the wait while another process builds the template | `2m` |
//! | `provision.ignore_missing_tables` | `EBBTIDE_IGNORE_MISSING_TABLES` | all | `true`, or a list of tables: migrations create them, and they may be missing afterwards; in the variable separated by commas | none |
//! | `provision.expect` | | all | `tables`, `rows`, `enums`, `row_security`, `role`: what the finished template must contain | nothing |
//! | `test.role` | `EBBTIDE_TEST_ROLE` | all | the role as which tests log in, such as the application's: see [Roles of the application](#roles-of-the-application) | ebbtide's own role |
//! | | `EBBTIDE_CONFIG` | all | the path of the file itself | the nearest |
//! <!-- /keys -->
//!
//! # Backends
//! - **`container`**: a container from an image, through Docker, Podman, or another engine that
//!   speaks Docker's protocol. `DOCKER_HOST` or `DOCKER_CONTEXT` names the engine. Without them,
//!   ebbtide takes the first that answers: Docker's current context, `CONTAINER_HOST`, or one of
//!   the usual sockets. ebbtide publishes the port on the loopback address, and for a remote engine
//!   on the engine's address. If the engine's URL contains a host name, or the engine's host does
//!   not have the URL's address, ebbtide publishes the port on every address. The password is
//!   random.
//! - **`native`**: `postgres` and `initdb` of this machine, on a private Unix socket. As root,
//!   ebbtide runs the server as another user.
//! - **`external`**: the server of a URL. Several machines may use it at once. Templates and copies
//!   are databases called `ebbtide_...`, and advisory locks protect them. A role with `CREATEDB`
//!   suffices if all extensions are trusted ones. The server must be PostgreSQL 13 or later. The
//!   URLs of all machines must name the same role. They must also lead to the same database for
//!   administration: `postgres`, or the URL's own if the role may not connect to `postgres`. A
//!   process needs the connections of its running tests (one for a `Tx` or a `Sandbox`, six for a
//!   `Database`), and up to three more. A pooler in transaction mode does not work, because a
//!   session holds locks and settings. ebbtide rejects the URL of a server that it has started
//!   itself.
//! - **`auto`**: a container if an engine answers and has the image or can pull it, else `native`.
//!   [`ServerReport::reason`](report::ServerReport::reason) states the choice, and so does one line
//!   of `tracing` at the level `info`.
//!
//! # Roles and other objects of the server
//! A role, a tablespace, another database, `ALTER SYSTEM`: these belong to the whole server. On a
//! shared server, other projects would see these objects, and a second build would find the objects
//! of the first. So migrations, seeds and fixtures that touch them get a *dedicated* server. Only
//! tests with the same migrations, seeds, extensions, settings and expectations use it. ebbtide
//! scans migrations, seeds and fixtures for such statements, also in the bodies of `DO` blocks and
//! functions. When a dedicated server starts because of such a statement, a message on stderr
//! states the file, the line and the statement.
//! [`ServerReport::reason`](report::ServerReport::reason) states the same.
//!
//! - A build that failed, or a template that was dropped, leaves nothing behind: the next build
//!   begins with the state that the server started with. If statements cannot restore that state,
//!   a new server replaces the old one.
//! - Fixtures or a test's own migrations with such a statement get a dedicated server of their own.
//! - ebbtide cannot see the SQL that a command or a function sends, except in `.sql` files among
//!   the command's inputs. For such SQL write `dedicated = "always"`. With `"never"` the server is
//!   shared in spite of such statements.
//! - An external server cannot be dedicated. There such statements are an error, unless `dedicated`
//!   is `"never"`.
//! - A dedicated server neither keeps its templates for the next one nor starts with kept ones
//!   (`server.cache`).
//!
//! # Roles of the application
//! A test that runs as a superuser passes although row level security enforces nothing, and although
//! the application's role lacks a privilege. With these keys, tests have the rights that the
//! application has in production:
//!
//! ```toml
//! [provision]
//! roles = [
//!     "app_owner",
//!     { name = "app", grants = ["select, insert, update, delete on all tables in schema public"] },
//! ]
//! owner = "app_owner"   # migrations and seeds run as this role, and it owns what they create
//!
//! [provision.expect]
//! row_security = ["orders", "tenant_*"]   # enabled, forced, with a policy
//! role = "app"                            # no superuser, no BYPASSRLS, owns no table
//!
//! [test]
//! role = "app"          # the sessions of `Tx`, `Sandbox` and `Database` log in as this role
//! ```
//!
//! - The sessions are *logged in* as the role: `session_user`, `SET ROLE`, `RESET ROLE` and
//!   `SET SESSION AUTHORIZATION` behave as in production. So do the role's own settings, such as
//!   `statement_timeout`, `search_path` or `default_transaction_read_only`.
//! - `#[ebbtide::test(role = "auditor")]` or [`Harness::as_role`] choose another role for some
//!   tests. The name of ebbtide's own role, usually `postgres`, makes a test a superuser's.
//! - ebbtide creates the roles in `roles` (`LOGIN NOSUPERUSER NOBYPASSRLS`) before the database,
//!   and grants their privileges after the migrations. Plans with other roles do not share a
//!   server. Roles can also come from the bootstrap or from migrations; then the server is
//!   dedicated.
//! - In a container, ebbtide gives each of these roles the server's password. A password that a
//!   migration sets for such a role does not stay.
//! - On an external server, the roles must exist, and the role of the URL must be a member of them.
//!   `EBBTIDE_ROLE_PASSWORD` or the driver's password file have their password.
//! - Extensions and the bootstrap run as ebbtide's own role, and so do the URLs of kept databases.
//! - If the schema has policies and the tests' role bypasses them, one line on stderr states that
//!   and why. [`Harness::health`] reports the same.
//!
//! # Several databases
//! A test may need databases with different contents, such as those of a shop and of its audit log.
//! The default plan, `[server]` and `[provision]`, describes one. Each *named plan* describes
//! another, with the same keys:
//!
//! ```toml
//! [provision]
//! migrations = "migrations"
//!
//! [plan.audit.provision]
//! migrations = "audit/migrations"
//! expect     = { tables = ["events"] }
//!
//! [plan.reports.server]                # other settings, so another server
//! settings   = { timezone = "Europe/Madrid" }
//! [plan.reports.provision]
//! migrations = "reports/migrations"
//! seeds      = "reports/seeds"
//! ```
//!
//! ```no_run
//! use ebbtide::{Database, Tx};
//!
//! #[ebbtide::test]
//! async fn a_sale_is_recorded(
//!     shop: Database,
//!     #[plan("audit")] mut audit: Tx,
//! ) -> ebbtide::Result<()> {
//!     let insert = "insert into orders (total) values (20)";
//!     sqlx::query(insert).execute(&shop.pool()).await?;
//!     sqlx::query("insert into events (what) values ('sale')").execute(&mut *audit).await?;
//!     Ok(())
//! }
//! # fn main() {}
//! ```
//!
//! - `#[plan("audit")]` may be before an argument of any type. For a type of yours, the context that
//!   its [`TestArg`] receives is that of the plan. Without the attribute there are
//!   [`Harness::named`] and [`Builder::plan`](config::Builder::plan). A test with `#[rstest]` takes
//!   a type of yours that calls [`TestContext::on_plan`], because rstest does not accept `#[plan]`.
//! - The name of a plan consists of ASCII letters, digits, `_` and `-`.
//! - A plan inherits every value of `[server]` that it does not set itself, and the roles, which
//!   belong to the server: `roles`, `owner` and `test.role`. It inherits nothing else of
//!   `[provision]`, and the directories `migrations` and `seeds` and the file `sqlx.toml` belong to
//!   the default plan. So each plan must set `migrations`. `migrations = false` applies none.
//! - The variables of `server` keys, `TEST_DATABASE_URL`, `EBBTIDE_OWNER` and `EBBTIDE_TEST_ROLE`
//!   override every plan. The variables of other `provision` keys override the default plan only.
//! - In the attribute, `fixtures`, `migrations`, `migrator`, `migrations_up_to` and `expect` are for
//!   the default plan. The other options are for all arguments.
//! - Plans with equal values of `[server]` and equal roles share one server. Each has a template and copies of its
//!   own. If migrations touch the whole server, the plan gets a dedicated server.
//! - A failure report has a part for each database, with the name of its plan.
//! - ebbtide waits for the connections of all arguments of a test together. If they are more than
//!   the server has, each `Database` gets a smaller pool. Tests that open databases one after the
//!   other in their bodies can wait for each other. If all tests of a process do, the wait ends with
//!   an error after 30 seconds.
//!
//! # Migrations
//! The names in a directory of migrations determine its layout, and the lines that divide a file
//! into its way up and its way down. If they match several layouts, or the wrong one, name the
//! layout: `migrations = { diesel = "migrations" }`, `EBBTIDE_MIGRATIONS=diesel:migrations`, or
//! [`Migrations::diesel`](config::Migrations::diesel).
//!
//! | layout | files | ledger |
//! |---|---|---|
//! | `sqlx` | `VERSION_description.sql`, `.up.sql` and `.down.sql` | `_sqlx_migrations` |
//! | `refinery` | `V1__name.sql`, `U1__name.sql`, also in subdirectories | `refinery_schema_history` |
//! | `diesel` | `VERSION_name/up.sql`, with an optional `metadata.toml` | `__diesel_schema_migrations` |
//! | `dbmate` | `VERSION_name.sql` with `-- migrate:up` and `-- migrate:down` | `schema_migrations` |
//! | `goose` | `VERSION_name.sql` with `-- +goose Up`; migrations in Go are refused | `goose_db_version` |
//! | `sql-migrate` | `.sql` with `-- +migrate Up` | `gorp_migrations` |
//! | `sql` | every other `.sql` file, in the order of the names | none |
//!
//! Each file runs in one transaction. Files of the layout `sql` also run in a session of their own
//! each, see [SQL files](#sql-files). To opt out of the transaction, use the tool's own form: the
//! first line `-- no-transaction` (`sqlx`, `sql`), `run_in_transaction = false` in `metadata.toml`
//! (`diesel`), `transaction:false` (`dbmate`), `NO TRANSACTION` (`goose`) or `notransaction`
//! (`sql-migrate`). Of a file with both ways, only the way up runs: in one message for dbmate, and
//! statement by statement for goose and sql-migrate, as with these tools. The ledger is the table in
//! which a tool records the migrations that it applied.
//! ebbtide writes the ledger exactly as the tool does by default, so the tool finds nothing
//! pending. If your application gives the ledger of refinery, dbmate, goose or sql-migrate another
//! name (`set_migration_table_name`, `DBMATE_MIGRATIONS_TABLE`, `SetTableName`, `SetTable`), ebbtide
//! cannot see that: call its own runner in a
//! [`Migrations::function`](config::Migrations::function), or the tool in a
//! [`MigrationCommand`](config::MigrationCommand).
//!
//! For a directory of sqlx migrations ebbtide reads the section `[migrate]` of `sqlx.toml`, as
//! `sqlx::migrate!()` does: `migrations-dir`, `table-name`, `create-schemas` and `ignored-chars`.
//! The file is that of the package which contains the directory, else that of the package under
//! test. `Migrator::new` does not read `sqlx.toml`. If your application uses it beside such a file,
//! pass its migrator to [`Setup::migrator`].
//!
//! A migration may move the ledger to another schema, or change the database's `search_path`.
//! ebbtide then reads the ledger that holds the rows, with a new session as your application has
//! one. If rows are in several tables of the ledger's name, they count together.
//!
//! The names of golang-migrate, Atlas and Supabase are those of sqlx, Hasura's are those of diesel,
//! and Flyway's simplest are those of refinery. Such a directory is migrated, but the ledger is that
//! of the layout. If your application looks for its own tool's ledger, use the tool's command. The
//! directories of some other tools are recognised and refused with the command to use, because
//! their files have both ways or another order: Flyway's other names, db-migrate, yoyo,
//! Postgrator, tern, node-pg-migrate, Play, micrate, Prisma, drizzle with another journal,
//! Sqitch, Liquibase, graphile-migrate. With a named layout, only files whose way down would run
//! are refused. A comment such as `-- Down` refuses nothing unless statements follow it.
//!
//! Entries that look like migrations and are not applied (`schema.sql` beside sqlx's files,
//! `x.SQL`, `x.sql.bak`, an editor's copy, a subdirectory) are reported on stderr while the
//! template is built, and in [`ProvisionReport::not_applied`](report::ProvisionReport::not_applied).
//! A file of plain SQL may begin with a byte order mark, as with psql. With every other layout the
//! mark is an error, because the tool sends it and PostgreSQL refuses it.
//!
//! To use any other tool, specify its command, see [`MigrationCommand`](config::MigrationCommand):
//!
//! ```toml
//! [provision.migrations]
//! command = ["alembic", "upgrade", "head"]
//! inputs = ["alembic.ini", "alembic"]  # files and directories whose content decides the outcome
//! directory = "."                      # where it runs; default: the directory of this file
//! url_variable = "DATABASE_URL"        # the default
//! ```
//!
//! If tests begin at a revision ([`Setup::migrations_up_to`]), the command's arguments have a place
//! for it: `command = ["alembic", "upgrade", "{revision}"]`, and `latest = "head"` for all others.
//!
//! The command receives the database's URL in that variable, and its parts in `PGHOST`, `PGPORT`,
//! `PGUSER`, `PGPASSWORD` and `PGDATABASE`. A native server's URL leads to a Unix socket:
//! `postgresql://postgres@/ebbtide_b_...?host=/directory&port=5432`. If the command fails, the
//! error shows its output. If the database has no table but a ledger after the command, that is an
//! error too, even if the ledger lists migrations as applied.
//!
//! To use a migration tool that is embedded in the test's binary, specify a function:
//! [`Migrations::function`](config::Migrations::function).
//!
//! An array has several sources. Each is complete before the next begins, in a session of its own
//! and with the ledger of its tool. What must exist before the first migration, such as roles or a
//! schema that a platform provides, belongs into the bootstrap, a directory of SQL files:
//!
//! ```toml
//! [provision]
//! bootstrap = "bootstrap"
//! migrations = ["platform/migrations", { diesel = "app/migrations" }]
//! ```
//!
//! # Extensions and locale
//! ebbtide installs the extensions of `provision.extensions` before the migrations. A table sets
//! schema and version: `{ name = "uuid-ossp", schema = "ext", version = "1.1" }`. ebbtide creates
//! the schema, and installs required extensions too, unless `cascade = false`. If the database has
//! the extension in another form already, that is an error. A migration that creates the same
//! extension must use `CREATE EXTENSION IF NOT EXISTS`, with the same schema and version.
//!
//! `provision.locale`, `provision.encoding` and `provision.locale_provider` are the options of
//! `CREATE DATABASE` with these names. They work on every backend, and projects with different
//! locales share a server. They do not change `lc_monetary`, `lc_numeric` and `lc_time`, which are
//! `settings`.
//!
//! # Seeds
//! ebbtide applies seed files in the order of their names, each in a new session and in one
//! transaction.
//! - `.sql`: statements, as under `psql`; see [SQL files](#sql-files). Rows that `ON CONFLICT`
//!   leaves out count as skipped.
//! - `.csv`: a header row with column names, then rows. The file's name contains the table's name
//!   (`010_services.csv`). This is the fastest form for large seeds.
//! - `.tsv`: CSV with tabs instead of commas.
//! - `.json`: an array of objects for the table in the file's name, or an object with one such
//!   array for each table. ebbtide fills the tables in the order of the file.
//! - `.jsonl`, `.ndjson`: one object in each line, for the table in the file's name.
//!
//! The directory may have other files, such as `README.md` or a script. Data in another format
//! (`.csv.gz`, `.yaml`) and data in a subdirectory are an error.
//!
//! **Tables.** The whole name of a file wins over the name without its number, so
//! `2fa_tokens.csv` is for the table `2fa_tokens`. `sales.orders.csv` has a schema. Without one,
//! the search path decides, and a table elsewhere must be the only one of its name. Double quotes
//! have SQL's meaning: `"Order.Lines".csv`.
//!
//! **Values.** CSV follows the manual of the newest version of PostgreSQL on every server: an empty
//! field is null, `""` is an empty text, and a line `\.` is a row. The server parses the values of
//! JSON as they stand in the file, so a `numeric` and a `jsonb` keep every digit.
//!
//! **Ids.** After each file, the sequences of the tables that it has filled continue behind its
//! rows, so that the first insert of a test finds no row with its id. This includes SQL seeds and
//! fixtures, unlike `psql`. A sequence that the file sets itself (`setval`, `RESTART WITH`) stays
//! as it is, and no sequence moves back. A default that calls a function of your own is not
//! recognised.
//!
//! ebbtide skips rows of CSV and JSON files that conflict with an existing row, and counts them. A
//! table with a deferrable unique constraint, or with rules for `INSERT`, does not permit this:
//! there a conflict is an error.
//!
//! ebbtide streams SQL and CSV files, and the data of `COPY` in them. It reads a JSON file, or a
//! single statement of SQL, into memory as a whole.
//!
//! # SQL files
//! Seeds, fixtures, the bootstrap, and migrations with the layout `sql` run as under
//! `psql --single-transaction -v ON_ERROR_STOP=1 -f`, so the output of `pg_dump` can be one of them.
//! - `COPY .. FROM stdin;` loads the lines that follow, up to `\.`.
//! - Each file begins in a new session: what a file sets ends with it.
//! - A file with its own `BEGIN`, `COMMIT` or `ROLLBACK` controls its transactions from there on, as
//!   under `psql -f`. ebbtide commits what stands before. A file must not end within a transaction.
//! - If the first line is `-- no-transaction`, each statement is a transaction.
//! - `\restrict`, `\unrestrict`, `\g`, `\q` and `\;` do the same as in `psql`.
//! - Commands that only print or format, like `\echo` and `\timing`, `\set`, `\encoding UTF8`, and
//!   `LISTEN` are skipped. `SET` is skipped for a setting that `pg_dump` writes and the server is too
//!   old for. [`ProvisionReport::notes`](report::ProvisionReport::notes) lists what was skipped,
//!   and the build prints it.
//! - Other commands (`\connect`, `\i`, `\copy`, `\gexec`, `\if`) and variables that have a value
//!   (`:name`) are refused. The error names the line and the remedy.
//! - The first error ends the build, unlike under `psql` without `ON_ERROR_STOP`. If the server lacks
//!   a dump's roles, make the dump with `pg_dump --no-owner --no-privileges`.
//!
//! The tools of the other layouts send a file as one message, so such a file is an error there as
//! well.
//!
//! # Cleanup
//! No cleanup depends on a `Drop` that may never run. A supervisor, a small shell script, ends the
//! server and removes its directory when no process has used the server for the plan's `linger`. A
//! killed process no longer counts as a user. A container ends itself when its PostgreSQL has had
//! no connection for `linger` and two seconds more. The engine then removes the container.
//!
//! What stays:
//! - in the state directory: a cache of `initdb`'s output, empty lock files, and the templates of
//!   native servers (`cache/prepared-...`, at most four files and 1 GiB), unless `cache` is
//!   `"never"`
//! - in `/dev/shm`: an empty directory
//! - in the engine: one volume for each image (`ebbtide-cache-...`, at most four), unless `cache`
//!   is `"never"`
//!
//! On an external server, templates and copies stay for the next run. [`Harness::clean_up`] drops
//! them.
//!
//! Without `/proc`, as on macOS, you must end a native server by hand if the scripts that supervise
//! the server were killed.
//!
//! # Can the schema be trusted?
//! Each build of a template verifies three things:
//! - The ledger matches the migration files: no version is missing, unknown, changed or dirty.
//! - The tables that the migrations create exist. ebbtide reads the applied files in the order in
//!   which they ran, and follows each drop and rename. A drop whose table only the run decides ends
//!   what is required. For tables that ebbtide expects by mistake, set
//!   `provision.ignore_missing_tables`.
//! - The template contains what `provision.expect` requires.
//!
//! On request, ebbtide checks more:
//!
//! - [`Harness::diff`] compares any database, also on another server, with the result of the
//!   migrations. It only reads. [`Schema::read`](schema::Schema::read) and
//!   [`Schema::compare`](schema::Schema::compare) compare any two databases. They see all that
//!   `pg_dump --create --schema-only` prints. Rows, values of sequences and large objects are not
//!   compared. [`Harness::diff_without`] leaves out an [`Aspect`](schema::Aspect), such as owners.
//! - [`Harness::check_reversible`] applies, reverts and re-applies the migrations that have a down
//!   migration, or a way down in their file. It lists what each of them left behind or removed by
//!   mistake.
//! - [`Setup::migrations_up_to`] begins at an old version, also as `migrations_up_to = 41` in the
//!   attribute. [`Database::migrate`] and [`Database::migrate_to`] go on from there, with the rows
//!   that the test has inserted. [`Harness::each_version`] runs a check at every version.
//! - [`Expect::enum_of`](config::Expect::enum_of) compares the labels of a Rust enum, a [`PgEnum`],
//!   with those in the database before any test runs.
//! - [`Harness::health`] returns the state of server, extensions and ledgers, and the first problem.
//!   It reads the ledgers of most migration tools, by their names and columns, as `diff` does.
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `container` | yes | the container backend, on `testcontainers` |
//! | `macros` | yes | the attribute [`ebbtide::test`](macro@crate::test) and the derive macro `PgEnum` |
//! | `progress` | yes | progress on stderr: a spinner on a terminal for steps that take over one second, else a line for steps that take over two seconds |
//! | `rstest` | no | `ebbtide::fixtures`: fixtures `tx`, `sandbox` and `database` for the crate `rstest` |
//! | `tls` | no | encrypted connections: to an external server (`sslmode`), and to an engine behind `tcp://` with certificates |

#[cfg(not(unix))]
compile_error!(
    "ebbtide runs on Unix only (Linux and macOS): shell scripts supervise its servers, and its \
     connections use Unix sockets"
);

pub mod blocking;
mod catalog;
mod clean_up;
pub mod config;
mod conn;
mod error;
mod excerpt;
#[cfg(feature = "rstest")]
pub mod fixtures;
mod guard;
mod guard_names;
mod harness;
mod lane;
mod lane_lock;
mod lexer;
#[doc(hidden)]
pub mod macro_support;
mod milliseconds;
mod names;
mod process;
mod progress;
mod provision;
mod role_error;
mod scarcity;
mod server;
mod sql_error;
mod template;
mod test_arg;
mod test_error_help;
mod test_run;
mod wait;

#[cfg(feature = "macros")]
pub use ebbtide_macros::{PgEnum, test};

pub use config::expect::PgEnum;
pub use error::{Error, ErrorKind, Result};
pub use harness::{Harness, Setup};
pub use lane::{Checkpoint, Database, Sandbox, Tx, TxCheckpoint, TxOptions};
pub use provision::VersionStep;
pub use test_arg::{TestArg, TestContext, database, sandbox, tx};

/// What ebbtide reports about servers, templates, migrations and databases.
///
/// Reports hold plain values and implement serde's `Serialize`. The JSON has these forms:
///
/// | in Rust | in JSON |
/// |---|---|
/// | a field | a key of the same name |
/// | a `Duration` in a field `took` | the key `took_ms`: a number of milliseconds, with a fraction |
/// | `None` | `null` |
/// | [`Fingerprint`](crate::report::Fingerprint), [`Backend`](crate::config::Backend) | a text, as `Display` prints it |
pub mod report {
    pub use crate::clean_up::CleanUpReport;
    pub use crate::harness::{
        ComparedDatabase, DriftReport, HealthReport, LedgerHealth, ServerReport, TemplateReport,
    };
    pub use crate::lane::KeptDatabase;
    pub use crate::names::Fingerprint;
    pub use crate::provision::{
        MigrationReport, PhaseReport, ProvisionReport, ReversibleReport, ReversibleStep,
        SeedReport, VersionChange,
    };
}

/// A database's schema: reading one, comparing two, and what a ledger claims.
pub mod schema {
    pub use crate::catalog::{
        Aspect, Difference, LedgerClaim, ObjectKind, Schema, SchemaDiff, SchemaObject,
        TableSecurity,
    };
}
