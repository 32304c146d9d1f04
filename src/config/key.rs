//! The table of keys: what each is called in the file, as a variable and on the builder, and what is legal.

use super::nearest::nearest;
use super::source::Source;

/// One thing that can be configured, by its names.
#[derive(Debug)]
pub(super) struct Key {
    /// The path in `ebbtide.toml`.
    pub(super) path: &'static str,
    /// The variable; empty when there is none.
    pub(super) variable: &'static str,
    /// The method of the builder.
    pub(super) method: &'static str,
    /// The legal values, for advice.
    pub(super) legal: &'static str,
}

impl Key {
    const fn new(
        path: &'static str,
        variable: &'static str,
        method: &'static str,
        legal: &'static str,
    ) -> Self {
        Self {
            path,
            variable,
            method,
            legal,
        }
    }

    /// The value as its author wrote it, with its place: the beginning of every complaint.
    pub(super) fn label(&self, source: &Source, shown: &str) -> String {
        match source {
            Source::Variable(name) => format!("{name}={shown}"),
            Source::DotEnv(name) => format!(".env: {name}={shown}"),
            Source::File { .. } => format!("{source}: {} = {shown}", self.path),
            Source::Builder | Source::Several(_) | Source::Default => {
                format!("Builder::{}({shown})", self.method)
            }
        }
    }

    /// The key's own name, without its section.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

const DURATION: &str = r#"a whole number and a unit, such as "500ms", "30s", "5m", "1h""#;

pub(super) const BACKEND: Key = Key::new(
    "server.backend",
    "EBBTIDE_BACKEND",
    "backend",
    "auto, container, native, external",
);
pub(super) const POSTGRES: Key = Key::new(
    "server.postgres",
    "EBBTIDE_POSTGRES",
    "postgres",
    r#"a major version from 10, such as "17""#,
);
pub(super) const IMAGE: Key = Key::new(
    "server.image",
    "EBBTIDE_IMAGE",
    "image",
    r#"an image with its tag, such as "postgres:17-alpine""#,
);
pub(super) const URL: Key = Key::new(
    "server.url",
    "EBBTIDE_URL",
    "url",
    r#"a URL, such as "postgres://user@localhost:5432/postgres""#,
);
pub(super) const ALLOW_REMOTE: Key = Key::new(
    "server.allow_remote",
    "EBBTIDE_ALLOW_REMOTE",
    "allow_remote",
    "true, false",
);
pub(super) const LINGER: Key = Key::new("server.linger", "EBBTIDE_LINGER", "linger", DURATION);
pub(super) const KEEP_FOR: Key =
    Key::new("server.keep_for", "EBBTIDE_KEEP_FOR", "keep_for", DURATION);
pub(super) const KEEP: Key = Key::new(
    "server.keep",
    "EBBTIDE_KEEP",
    "keep",
    "never, failed, always",
);
pub(super) const LOG_PLANS_SLOWER_THAN: Key = Key::new(
    "server.log_plans_slower_than",
    "EBBTIDE_LOG_PLANS_SLOWER_THAN",
    "log_plans_slower_than",
    DURATION,
);
pub(super) const STORAGE: Key = Key::new(
    "server.storage",
    "EBBTIDE_STORAGE",
    "storage",
    "auto, memory, disk",
);
pub(super) const CACHE: Key = Key::new("server.cache", "EBBTIDE_CACHE", "cache", "auto, never");
pub(super) const DEDICATED: Key = Key::new(
    "server.dedicated",
    "EBBTIDE_DEDICATED",
    "dedicated",
    "auto, always, never",
);
pub(super) const SETTINGS: Key = Key::new(
    "server.settings",
    "",
    "setting",
    r#"a table of PostgreSQL settings, such as { timezone = "Europe/Madrid", work_mem = "8MB" }"#,
);
pub(super) const BIN: Key = Key::new(
    "server.bin",
    "EBBTIDE_PG_BIN",
    "bin",
    r#"a directory, such as "/usr/lib/postgresql/17/bin""#,
);
pub(super) const STATE_DIR: Key = Key::new(
    "server.state_dir",
    "EBBTIDE_STATE_DIR",
    "state_dir",
    r#"a directory with a short path, such as "/tmp/ebb""#,
);
pub(super) const START_TIMEOUT: Key = Key::new(
    "server.start_timeout",
    "EBBTIDE_START_TIMEOUT",
    "start_timeout",
    DURATION,
);
pub(super) const EXTENSIONS: Key = Key::new(
    "provision.extensions",
    "EBBTIDE_EXTENSIONS",
    "extensions",
    r#"a list of names, such as ["uuid-ossp", "pg_trgm"]"#,
);
pub(super) const MIGRATIONS: Key = Key::new(
    "provision.migrations",
    "EBBTIDE_MIGRATIONS",
    "migrations",
    r#""a directory", false, { LAYOUT = "a directory" } with the layout sqlx, sql, refinery or diesel, or { command = ["program", "argument"], inputs = ["a directory"] }"#,
);
pub(super) const COMMAND: Key = Key::new(
    "provision.migrations.command",
    "",
    "migrations",
    r#"a program and its arguments, such as ["alembic", "upgrade", "head"]"#,
);
pub(super) const INPUTS: Key = Key::new(
    "provision.migrations.inputs",
    "",
    "migrations",
    r#"a list of files and directories, such as ["alembic"]"#,
);
pub(super) const DIRECTORY: Key = Key::new(
    "provision.migrations.directory",
    "",
    "migrations",
    r#"the directory to run the command in, such as "backend""#,
);
pub(super) const URL_VARIABLE: Key = Key::new(
    "provision.migrations.url_variable",
    "",
    "migrations",
    r#"the name of the variable that tells the command its database, such as "DATABASE_URL""#,
);
pub(super) const SEEDS: Key = Key::new(
    "provision.seeds",
    "EBBTIDE_SEEDS",
    "seeds",
    r#""a directory", false"#,
);
pub(super) const TIMEOUT: Key = Key::new(
    "provision.timeout",
    "EBBTIDE_PROVISION_TIMEOUT",
    "provision_timeout",
    DURATION,
);
pub(super) const EXPECT: Key = Key::new(
    "provision.expect",
    "",
    "expect_table",
    "a table with the keys tables, rows, enums",
);
pub(super) const TABLES: Key = Key::new(
    "provision.expect.tables",
    "",
    "expect_table",
    r#"a list of names, such as ["customers"]"#,
);
pub(super) const ROWS: Key = Key::new(
    "provision.expect.rows",
    "",
    "expect_rows",
    "whole numbers by table, such as { services = 15 }",
);
pub(super) const ENUMS: Key = Key::new(
    "provision.expect.enums",
    "",
    "expect_enum",
    r#"labels by type, such as { mood = ["sad", "happy"] }"#,
);

/// The keys under `[server]`.
pub(super) const SERVER: &[&Key] = &[
    &BACKEND,
    &POSTGRES,
    &IMAGE,
    &URL,
    &ALLOW_REMOTE,
    &LINGER,
    &KEEP,
    &KEEP_FOR,
    &LOG_PLANS_SLOWER_THAN,
    &STORAGE,
    &CACHE,
    &DEDICATED,
    &SETTINGS,
    &BIN,
    &STATE_DIR,
    &START_TIMEOUT,
];

/// The keys under `[provision]`.
pub(super) const PROVISION: &[&Key] = &[&EXTENSIONS, &MIGRATIONS, &SEEDS, &TIMEOUT, &EXPECT];

/// The variable that names the file itself.
pub(super) const CONFIG: &str = "EBBTIDE_CONFIG";

/// Every `EBBTIDE_*` variable that means something.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    let of_keys = SERVER
        .iter()
        .chain(PROVISION)
        .map(|key| key.variable)
        .filter(|name| !name.is_empty());
    of_keys.chain([CONFIG])
}

/// Advice for a name that is none of `legal`: the nearest one when it is near, and all of them.
pub(super) fn advice(name: &str, legal: &[&str]) -> String {
    let all = format!("legal keys: {}", legal.join(", "));
    match nearest(name, legal.iter().copied()) {
        Some(near) => format!("did you mean {near}? {all}"),
        None => all,
    }
}
