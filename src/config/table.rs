//! A plan as an aligned table.

use std::fmt;
use std::path::Path;

use super::expect::Expect;
use super::given::spell;
use super::migrations::Migrations;
use super::plan::Plan;
use super::source::{Source, Sourced};

/// Longer values push their source to the right instead of widening the whole column.
const WIDEST: usize = 48;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = rows(self);
        let keys = rows
            .iter()
            .map(|row| row.key.chars().count())
            .max()
            .unwrap_or(0);
        let values = rows
            .iter()
            .map(|row| row.value.chars().count())
            .filter(|width| *width <= WIDEST)
            .max();
        let values = values.unwrap_or(0);
        for (index, Row { key, value, source }) in rows.iter().enumerate() {
            let line_feed = if index == 0 { "" } else { "\n" };
            write!(f, "{line_feed}{key:<keys$}  {value:<values$}  {source}")?;
        }
        Ok(())
    }
}

struct Row<'a> {
    key: String,
    value: String,
    source: &'a Source,
}

impl<'a> Row<'a> {
    fn new(key: impl Into<String>, value: impl AsRef<str>, source: &'a Source) -> Self {
        // A line feed in a setting must not break the table.
        let value = value.as_ref().replace('\n', "\\n");
        Self {
            key: key.into(),
            value,
            source,
        }
    }

    fn plain<T: ToString>(key: &str, value: &'a Sourced<T>) -> Self {
        Self::new(key, value.get().to_string(), &value.source)
    }

    fn optional<T: ToString>(key: &str, value: &'a Sourced<Option<T>>, absent: &str) -> Self {
        Self::new(
            key,
            value
                .get()
                .as_ref()
                .map_or(absent.to_owned(), ToString::to_string),
            &value.source,
        )
    }

    fn path(key: &str, value: &'a Sourced<Option<std::path::PathBuf>>, absent: &str) -> Self {
        Self::new(
            key,
            value.get().as_deref().map_or(absent.to_owned(), shown),
            &value.source,
        )
    }
}

/// Every value but `PATH`, which is long and seldom surprising. Switches are shown when somebody set them.
fn rows(plan: &Plan) -> Vec<Row<'_>> {
    let mut rows = vec![
        Row::plain("backend", &plan.backend),
        Row::optional("postgres", &plan.postgres, "any"),
        Row::optional("image", &plan.image, "by version"),
        Row::optional("url", &plan.url, "none"),
        Row::plain("allow_remote", &plan.allow_remote),
        Row::new("linger", spell(*plan.linger), &plan.linger.source),
        Row::plain("keep", &plan.keep),
        Row::new(
            "log_plans_slower_than",
            plan.log_plans_slower_than.map_or("no".to_owned(), spell),
            &plan.log_plans_slower_than.source,
        ),
        Row::new("keep_for", spell(*plan.keep_for), &plan.keep_for.source),
        Row::plain("storage", &plan.storage),
        Row::plain("cache", &plan.cache),
        Row::plain("dedicated", &plan.dedicated),
    ];
    let settings = plan.settings.iter().zip(plan.setting_sources.values());
    rows.extend(
        settings.map(|((name, value), source)| Row::new(format!("settings.{name}"), value, source)),
    );
    rows.extend([
        Row::path("bin", &plan.pg_bin, "searched for"),
        Row::new("state_dir", shown(&plan.state_dir), &plan.state_dir.source),
        Row::new(
            "start_timeout",
            spell(*plan.start_timeout),
            &plan.start_timeout.source,
        ),
        Row::new(
            "extensions",
            list(&plan.extensions),
            &plan.extensions.source,
        ),
        Row::new(
            "migrations",
            migrations(&plan.migrations),
            &plan.migrations.source,
        ),
        Row::path("seeds", &plan.seeds, "none"),
        Row::new("expect", expect(&plan.expect), &plan.expect.source),
        Row::new(
            "provision_timeout",
            spell(*plan.provision_timeout),
            &plan.provision_timeout.source,
        ),
        Row::optional("package", &plan.package_name, "unknown"),
        Row::new(
            "package_root",
            shown(&plan.package_root),
            &plan.package_root.source,
        ),
        Row::path("config_file", &plan.config_file, "none"),
    ]);
    if plan.slot.is_some() {
        rows.push(Row::optional("slot", &plan.slot, ""));
    }
    rows
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn migrations(migrations: &Migrations) -> String {
    match migrations {
        Migrations::Directory(path) => shown(path),
        Migrations::None => "none".to_owned(),
        Migrations::Files(layout, path) => format!("{} ({layout})", shown(path)),
        Migrations::Command(command) => command.shown(),
        Migrations::Function(function) => format!("the function {:?}", function.name()),
    }
}

fn expect(expect: &Expect) -> String {
    if expect.is_empty() {
        return "nothing".to_owned();
    }
    let counts = [
        ("table", expect.tables.len()),
        ("row count", expect.rows.len()),
        ("enum", expect.enums.len() + expect.rust_enums.len()),
    ];
    let spoken =
        counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(noun, count)| match count {
                1 => format!("1 {noun}"),
                _ => format!("{count} {noun}s"),
            });
    spoken.collect::<Vec<_>>().join(", ")
}
