//! Every key of the configuration: the one place to add a key, or to change one.
//!
//! `declare` describes the lines of an entry, and what follows from it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::contents::{self, ContentsDir};
use super::declare::{declare_keys, first, key_method, key_methods};
use super::document::Entry;
use super::engine_hints::EngineHints;
use super::env::Environment;
use super::expect::Expect;
use super::extension::Extension;
use super::key::Key;
use super::key_type::{KeyType, Limit, MajorVersion};
use super::locale_provider::LocaleProvider;
use super::migrations::Migrations;
use super::missing_tables::MissingTables;
use super::role::{Role, RoleName};
use super::row::Row;
use super::secret::Secret;
use super::settings::Settings;
use super::source::{Source, Sourced};
use super::url::ServerUrl;
use super::value::{Backend, Cache, Dedicated, Keep, Storage};
use crate::error::Result;

const DURATION: &str = r#"a whole number and a unit, such as "500ms", "30s", "5m", "1h""#;

declare_keys! {
    backend;
    path: "server.backend",
    variable: "EBBTIDE_BACKEND",
    method: "backend",
    type: Backend,
    legal: "auto, container, native, external",
    default: Backend::Auto,
    about: "`auto`, `container`, `native`, `external`: see [Backends](#backends)";

    /// Sets the required major version of PostgreSQL, from 10. Default: any.
    ///
    /// The container backend uses an image of this version, and the native backend uses binaries of
    /// this version. An external server of another version is an error.
    postgres(major: u32) => Some(major);
    path: "server.postgres",
    variable: "EBBTIDE_POSTGRES",
    type: Option<MajorVersion>,
    legal: r#"a major version from 10, such as "17""#,
    default: None => "any",
    about: "a major version from 10";

    /// Sets the container's image, for example `postgres:17-alpine`.
    ///
    /// The image must behave like the official `postgres` image, as `postgis`, `pgvector` and
    /// `timescaledb` do. Default: `postgres:MAJOR` for the required version. Without a required
    /// version it is `postgres:17`, or the newest `postgres` image of an engine that does not have
    /// that one.
    image(image: impl Into<String>) => Some(image.into());
    path: "server.image",
    variable: "EBBTIDE_IMAGE",
    backends: [Container],
    type: Option<String>,
    legal: r#"an image with its tag, such as "postgres:17-alpine""#,
    default: None => "by version",
    about: "an image with the official image's entrypoint and variables. By version: `postgres:MAJOR`; \
            without a major version `postgres:17`, or the newest `postgres` that the engine has";

    /// Sets the URL of a server that already runs, for example
    /// `postgres://user@localhost:5432/postgres`.
    ///
    /// The driver takes missing parts from `PGPASSWORD`, `PGSSLMODE`, `PGUSER` and other `PG*`
    /// variables, or from a password file. `PGOPTIONS` and `PGAPPNAME` have no effect. To change a
    /// setting of every session, add `options` to the URL, or call
    /// [`Builder::setting`](crate::config::Builder::setting).
    ///
    /// The variable `TEST_DATABASE_URL` overrides this URL, too.
    url(url: impl Into<String>) => Some(ServerUrl::new(url));
    path: "server.url",
    variable: "EBBTIDE_URL",
    backends: [External],
    type: Option<ServerUrl>,
    legal: r#"a URL, such as "postgres://user@localhost:5432/postgres""#,
    default: None => "none",
    about: "the URL of a running server; it selects `external`. If `external` is selected, \
            `TEST_DATABASE_URL` counts too";

    /// Allows the server to be on another machine. Ebbtide creates and drops databases there.
    ///
    /// Without this call, a host whose address is not a loopback address is an error.
    allow_remote() => true;
    path: "server.allow_remote",
    variable: "EBBTIDE_ALLOW_REMOTE",
    backends: [External],
    type: bool,
    legal: "true, false",
    default: false,
    about: "`true` allows that server to be on another machine";

    /// Sets the password with which the roles of tests and the owner log in to the server.
    ///
    /// Without it, the driver looks for the role in its password file, and the server may not
    /// require one. Servers that ebbtide starts need none.
    role_password(password: impl Into<String>) => Some(Secret::new(password));
    path: "server.role_password",
    variable: "EBBTIDE_ROLE_PASSWORD",
    backends: [External],
    type: Option<Secret>,
    legal: "a password",
    default: None => "none",
    about: "the password of the roles in `provision.owner` and `test.role` on that server";

    /// Sets how long a server keeps running after its last process has ended. Default: 30 seconds.
    ///
    /// A test run that starts within this time uses the same server. An external server is not
    /// affected.
    linger(linger: Duration) => linger;
    path: "server.linger",
    variable: "EBBTIDE_LINGER",
    backends: [Container, Native],
    type: Duration,
    legal: DURATION,
    default: Duration::from_secs(30),
    about: "how long an unused server keeps running";

    /// Sets which tests keep their databases for inspection. Default: [`Keep::Never`].
    ///
    /// A test that specifies `keep` in its attribute overrides the builder. The variable overrides
    /// both.
    keep(keep: Keep) => keep;
    path: "server.keep",
    variable: "EBBTIDE_KEEP",
    type: Keep,
    legal: "never, failed, always",
    default: Keep::Never,
    about: "which tests' databases are kept: `never`, `failed`, `always`. The variable overrides a \
            test's own option `keep`, which overrides file and builder";

    /// Sets how long a kept database exists. Its server runs at least as long. Default: one hour.
    keep_for(keep_for: Duration) => keep_for;
    path: "server.keep_for",
    variable: "EBBTIDE_KEEP_FOR",
    type: Duration,
    legal: DURATION,
    default: Duration::from_hours(1),
    about: "how long a kept database stays, and its server with it";

    /// Reports the plans of statements that run longer than `limit`, at the end of their test.
    /// Default: no plans.
    ///
    /// Ebbtide loads PostgreSQL's `auto_explain`
    /// (<https://www.postgresql.org/docs/current/auto-explain.html>) with timing of every plan
    /// node, so all statements become slower. On an external server the role must be a superuser.
    log_plans_slower_than(limit: Duration) => Some(limit);
    path: "server.log_plans_slower_than",
    variable: "EBBTIDE_LOG_PLANS_SLOWER_THAN",
    type: Option<Duration>,
    legal: DURATION,
    default: None => "no",
    about: "the plans of statements that take longer are reported";

    /// Sets where a server that ebbtide starts stores its data. Default: [`Storage::Auto`].
    storage(storage: Storage) => storage;
    path: "server.storage",
    variable: "EBBTIDE_STORAGE",
    backends: [Container, Native],
    type: Storage,
    legal: "auto, memory, disk",
    default: Storage::Auto,
    about: "`memory`, `disk`, or `auto`: memory (`/dev/shm`) if 2 GiB are free there and no other \
            user has taken ebbtide's directory name. Tests share databases that exist if a \
            further copy takes more than half of the memory that is available";

    /// Sets whether the next server starts from the prepared data of an earlier one.
    /// Default: [`Cache::Auto`].
    cache(cache: Cache) => cache;
    path: "server.cache",
    variable: "EBBTIDE_CACHE",
    backends: [Container, Native],
    type: Cache,
    legal: "auto, never",
    default: Cache::Auto,
    about: "`never`, or `auto`: a server's templates are kept for the next one, in a volume or in \
            the state directory";

    /// Sets whether the database gets a dedicated server, which no database with other contents
    /// uses. Default: [`Dedicated::Auto`].
    dedicated(dedicated: Dedicated) => dedicated;
    path: "server.dedicated",
    variable: "EBBTIDE_DEDICATED",
    type: Dedicated,
    legal: "auto, always, never",
    default: Dedicated::Auto,
    about: "`always`, `never`, or `auto`: see \
            [Roles and other objects of the server](#roles-and-other-objects-of-the-server)";

    settings;
    path: "server.settings",
    method: "setting",
    type: Settings,
    legal: "a table of PostgreSQL settings, such as \
            { timezone = \"Europe/Madrid\", work_mem = \"8MB\" }",
    default: Settings::default() => "none",
    about: "a table of PostgreSQL settings, which override ebbtide's own";

    /// Sets the directory with `postgres` and `initdb`. No other directory is searched then.
    ///
    /// A relative path is relative to the package's directory. Default: the directory that
    /// `pg_config --bindir` prints, then `PATH`, then the usual directories of packages.
    bin(path: impl Into<PathBuf>) => Some(path.into());
    path: "server.bin",
    variable: "EBBTIDE_PG_BIN",
    backends: [Native],
    type: Option<PathBuf>,
    legal: r#"a directory, such as "/usr/lib/postgresql/17/bin""#,
    default: None => "searched for",
    about: "the directory of `postgres` and `initdb`";

    /// Sets the directory for sockets, locks and data.
    ///
    /// Keep the path short, because the path of a Unix socket is limited: 107 bytes on Linux, 103
    /// on other systems. A relative path is relative to the package's directory. Default:
    /// `$XDG_RUNTIME_DIR/ebbtide` (not for root), else `ebbtide-UID` in the temporary directory.
    state_dir(path: impl Into<PathBuf>) => path.into();
    path: "server.state_dir",
    variable: "EBBTIDE_STATE_DIR",
    backends: [Container, Native],
    type: PathBuf,
    legal: r#"a directory with a short path, such as "/tmp/ebb""#,
    default_of: Environment::state_dir
        => "`$XDG_RUNTIME_DIR/ebbtide` (not for root), else `ebbtide-UID` in the temporary directory",
    about: "a directory with a short path, whose parent exists";

    /// Limits the time from a server's start to its first connection. Default: 60 seconds. Zero is
    /// an error.
    start_timeout(limit: Duration) => limit;
    path: "server.start_timeout",
    variable: "EBBTIDE_START_TIMEOUT",
    type: Limit,
    legal: DURATION,
    default: Duration::from_mins(1),
    about: "limit for the server's start";

    extensions;
    path: "provision.extensions",
    variable: "EBBTIDE_EXTENSIONS",
    method: "extension",
    type: Vec<Extension>,
    legal: "a list of names or tables, such as \
            [\"pg_trgm\", { name = \"uuid-ossp\", schema = \"ext\" }]",
    default: Vec::new() => "none",
    about: "a list of names, or of tables with `name`, `schema`, `version`, `cascade`; in the \
            variable `pg_trgm, uuid-ossp schema ext version 1.1`";

    /// Sets the locale of the database, for example `es_ES.UTF-8`. It decides how texts are sorted
    /// and which characters are letters.
    ///
    /// Default: that of the server's `template0`. On a native server this is `C.UTF-8` if the
    /// machine has it, and in a container the one that the image specifies. For formats of numbers,
    /// money and dates, add the settings `lc_numeric`, `lc_monetary` and `lc_time`.
    locale(locale: impl Into<String>) => Some(locale.into());
    path: "provision.locale",
    variable: "EBBTIDE_LOCALE",
    type: Option<String>,
    legal: r#"the name of a locale, such as "es_ES.UTF-8", or "es-ES" for icu"#,
    default: None => "the server's",
    about: "the locale of the database, such as `es_ES.UTF-8`; with `icu` such as `es-ES`";

    /// Sets the encoding of the database, for example `LATIN1`. Default: that of the server's
    /// `template0`, which is UTF-8 on every server that ebbtide starts.
    encoding(encoding: impl Into<String>) => Some(encoding.into());
    path: "provision.encoding",
    variable: "EBBTIDE_ENCODING",
    type: Option<String>,
    legal: r#"an encoding of PostgreSQL, such as "UTF8" or "LATIN1""#,
    default: None => "the server's",
    about: "the encoding of the database, such as `LATIN1`";

    /// Sets who sorts and compares texts. Default: [`LocaleProvider::Libc`]. Another provider needs
    /// a locale.
    locale_provider(provider: LocaleProvider) => provider;
    path: "provision.locale_provider",
    variable: "EBBTIDE_LOCALE_PROVIDER",
    type: LocaleProvider,
    legal: "libc, icu, builtin",
    default: LocaleProvider::Libc,
    about: "who sorts texts: `libc`, `icu` (from PostgreSQL 15 on), `builtin` (from 17 on)";

    roles;
    path: "provision.roles",
    method: "role",
    type: Vec<Role>,
    legal: "a list of names or tables, such as \
            [\"app_owner\", { name = \"app\", grants = [\"select on all tables in schema public\"] }]",
    default: Vec::new() => "none",
    about: "roles to create: a list of names, or of tables with `name`, `member_of`, `grants`: see \
            [Roles of the application](#roles-of-the-application)";

    /// Sets the role that owns the database and its objects. Migrations and seeds run on sessions
    /// that are logged in as this role. Default: the role with which ebbtide administers the
    /// server.
    ///
    /// The role must exist before the first migration: see [`Builder::role`](Self::role) and
    /// [`Builder::bootstrap`](Self::bootstrap). Extensions and the bootstrap are not affected.
    owner(role: impl Into<String>) => Some(role.into());
    path: "provision.owner",
    variable: "EBBTIDE_OWNER",
    type: Option<RoleName>,
    legal: r#"the name of a role, such as "app_owner""#,
    default: None => "ebbtide's own role",
    about: "the role that owns the database; migrations and seeds run as this role";

    /// Sets the directory of the SQL files that run before the first migration, in the order of
    /// their names. Default: none.
    ///
    /// They create what the migrations expect, such as roles, or a schema that a platform provides.
    /// Tests with other migrations keep them.
    bootstrap(path: impl Into<PathBuf>) => Some(path.into());
    path: "provision.bootstrap",
    variable: "EBBTIDE_BOOTSTRAP",
    type: ContentsDir,
    legal: r#""a directory", false"#,
    default: None => "none",
    about: "a directory of SQL files that run after the extensions and before the first migration; \
            `false`, in the variable `none`";

    migrations;
    path: "provision.migrations",
    variable: "EBBTIDE_MIGRATIONS",
    method: "migrations",
    type: Migrations,
    legal: "\"a directory\", false, { LAYOUT = \"a directory\" } with the layout sqlx, sql, \
            refinery, diesel, dbmate, goose or sql-migrate, { command = [\"program\", \"argument\"], \
            inputs = [\"a directory\"] }, or an array of them",
    default_of: contents::default_migrations
        => "`migrations-dir` in `sqlx.toml`, else `migrations` if it exists",
    about: "a directory, a command, or an array of them: see [Migrations](#migrations); `false`, in \
            the variable `none`";

    seeds;
    path: "provision.seeds",
    variable: "EBBTIDE_SEEDS",
    method: "seeds",
    type: ContentsDir,
    legal: r#""a directory", false"#,
    default_of: contents::default_seeds => "`seeds` if it exists",
    about: "a directory; `false`, in the variable `none`";

    /// Limits the time for one migration or one seed file, and the wait while another process
    /// builds the same template. Default: 120 seconds. Zero is an error.
    provision_timeout(limit: Duration) => limit;
    path: "provision.timeout",
    variable: "EBBTIDE_PROVISION_TIMEOUT",
    type: Limit,
    legal: DURATION,
    default: Duration::from_mins(2),
    about: "limit for one migration, for one seed file, and for the wait while another process \
            builds the template";

    ignore_missing_tables;
    path: "provision.ignore_missing_tables",
    variable: "EBBTIDE_IGNORE_MISSING_TABLES",
    method: "ignore_missing_tables",
    type: MissingTables,
    legal: r#"true, false, or a list of tables, such as ["users", "app.visits"]"#,
    default: MissingTables::default() => "none",
    about: "`true`, or a list of tables: migrations create them, and they may be missing \
            afterwards; in the variable separated by commas";

    expect;
    path: "provision.expect",
    method: "expect",
    type: Expect,
    legal: "a table with the keys tables, rows, enums, row_security, role",
    default: Expect::default() => "nothing",
    about: "`tables`, `rows`, `enums`, `row_security`, `role`: what the finished template must contain";

    /// Sets the role as which the tests' sessions log in, so that its privileges and row level
    /// security apply. Default: the role with which ebbtide administers the server.
    ///
    /// A test overrides it with `#[ebbtide::test(role = "auditor")]` or
    /// [`Harness::as_role`](crate::Harness::as_role).
    test_role(role: impl Into<String>) => Some(role.into());
    path: "test.role",
    variable: "EBBTIDE_TEST_ROLE",
    type: Option<RoleName>,
    legal: r#"the name of a role, such as "app""#,
    default: None => "ebbtide's own role",
    about: "the role as which tests log in, such as the application's: see \
            [Roles of the application](#roles-of-the-application)";
}

/// Configures a [`Harness`](crate::Harness) in code: its server and the contents of its database.
///
/// A key in `ebbtide.toml` can also set each value, and so can an environment variable, except for
/// settings and expectations. A variable such as `EBBTIDE_BACKEND` overrides the builder, so a
/// person can change one run without editing code. The builder overrides `ebbtide.toml`.
///
/// Single values and the list of extensions replace those of the file. Settings and expectations of
/// both are merged by name.
///
/// The methods only store values. [`build`](Self::build) checks them, together with those of the
/// environment and the file.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ebbtide::config::{Backend, Builder, Expect};
///
/// let builder = Builder::new()
///     .backend(Backend::Native)
///     .postgres(17)
///     .extension("pg_trgm")
///     .setting("timezone", "Europe/Madrid")
///     .expect(Expect::new().rows("services", 15))
///     .linger(Duration::from_mins(1));
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    pub(super) layer: Layer,
    /// The backend and its options.
    pub(super) backend: Layer,
    /// The name of a plan in `ebbtide.toml`.
    pub(super) plan: Option<String>,
    pub(super) config_file: Option<PathBuf>,
    pub(super) package_root: Option<PathBuf>,
}

/// The backend [`Container`](Backend::Container), and the options that only a container has.
///
/// # Examples
/// ```
/// use ebbtide::config::Container;
///
/// let image = Container::new().image("pgvector/pgvector:pg17");
/// let builder = ebbtide::Harness::builder().backend(image);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct Container {
    pub(super) layer: Layer,
}

/// The backend [`Native`](Backend::Native), and the options that only this machine's binaries have.
///
/// # Examples
/// ```
/// use ebbtide::config::Native;
///
/// let binaries = Native::new().bin("/opt/postgresql-17/bin");
/// let builder = ebbtide::Harness::builder().backend(binaries);
/// # drop(builder);
/// ```
///
/// An option of another backend does not compile:
/// ```compile_fail,E0599
/// # use ebbtide::config::Native;
/// let binaries_have_no_image = Native::new().image("postgres:17");
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct Native {
    pub(super) layer: Layer,
}

/// The backend [`External`](Backend::External), and the options that only a running server has.
///
/// # Examples
/// ```
/// use ebbtide::config::External;
///
/// let server = External::new()
///     .url("postgres://tester@database.example/postgres")
///     .allow_remote();
/// let builder = ebbtide::Harness::builder().backend(server);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct External {
    pub(super) layer: Layer,
}

/// The backend [`Auto`](Backend::Auto), and the options of both backends that it chooses from.
///
/// # Examples
/// ```
/// use ebbtide::config::Auto;
///
/// let either = Auto::new()
///     .image("postgres:17-alpine")
///     .bin("/opt/postgresql-17/bin");
/// let builder = ebbtide::Harness::builder().backend(either);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct Auto {
    pub(super) layer: Layer,
}
