//! The table that a CSV or JSON file is for, found by the file's name or by a key in the file.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::catalog::RelationName;
use crate::config::nearest;
use crate::error::{Error, ErrorKind, Result};
use crate::guard_names::SCHEMA;
use crate::provision::input_file::InputFile;
use crate::sql_error;

/// A table that receives rows.
#[derive(Debug, Clone)]
pub(super) struct SeedTable {
    pub(super) name: RelationName,
    /// The end of an INSERT that skips existing rows; empty if the table does not permit it.
    pub(super) on_conflict: &'static str,
}

impl SeedTable {
    /// The table in the name of a file: `010_sales.orders.csv` is for `sales.orders`.
    ///
    /// The whole name wins over a name without its leading number, so that `2fa_tokens.csv` is for
    /// `2fa_tokens`.
    pub(super) async fn of_file(connection: &mut PgConnection, file: &InputFile) -> Result<Self> {
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        let candidates = candidates(connection).await?;
        let stems = with_and_without_number(&stem);
        for stem in &stems {
            if let Some(found) = find(&candidates, stem, file)? {
                return Ok(found);
            }
        }
        let shortest = stems.last().copied().unwrap_or_default();
        if !shortest.contains(char::is_alphabetic) {
            return Err(nameless(file));
        }
        let help = "name the file after its table, with a number and _ in front for the order: \
                    010_services.csv; a migration must create the table";
        Err(unknown(file, shortest, &candidates, help))
    }

    /// The table in a key of a JSON file.
    pub(super) async fn of_key(
        connection: &mut PgConnection,
        file: &InputFile,
        key: &str,
    ) -> Result<Self> {
        let candidates = candidates(connection).await?;
        let help = "a key is the name of a table, with its schema if needed; a migration must \
                    create the table";
        find(&candidates, key, file)?.ok_or_else(|| unknown(file, key, &candidates, help))
    }
}

/// A table of the database.
#[derive(Debug, Clone)]
struct Candidate {
    table: SeedTable,
    is_on_search_path: bool,
}

/// Every table and view that could receive rows.
async fn candidates(connection: &mut PgConnection) -> Result<Vec<Candidate>> {
    // ON CONFLICT rejects a table with a deferrable unique constraint, with rules for INSERT or
    // UPDATE, and a view with triggers instead of its statements. A partition or a plain table of
    // this kind receives a plain INSERT, which reports the conflict.
    // <https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT>
    let query = format!(
        "select n.nspname::text, c.relname::text, \
         n.nspname = any (current_schemas(false)), \
         exists (select from pg_index i where i.indrelid = c.oid and not i.indimmediate) \
         or exists (select from pg_rewrite r where r.ev_class = c.oid and r.ev_type in ('2', '3')) \
         or (c.relkind = 'v' and c.relhastriggers) \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p', 'f', 'v') and c.relpersistence <> 't' \
         and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', '{SCHEMA}') \
         order by 1, 2"
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(connection)
        .await;
    rows.and_then(|rows| {
        rows.iter()
            .map(|row| {
                let name = RelationName::of_row(row, 0)?;
                let on_conflict = if row.try_get(3)? {
                    ""
                } else {
                    "on conflict do nothing"
                };
                Ok(Candidate {
                    table: SeedTable { name, on_conflict },
                    is_on_search_path: row.try_get(2)?,
                })
            })
            .collect()
    })
    .map_err(|error| sql_error::failed("looking for the table of a seed", error))
}

/// The table of this name. `None` if there is none.
///
/// Without a schema, a table on the search path wins over those of other schemas.
///
/// # Errors
/// The name means several tables.
fn find(candidates: &[Candidate], text: &str, file: &InputFile) -> Result<Option<SeedTable>> {
    for (schema, name) in readings(text) {
        let mut found: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| {
                let table = &candidate.table.name;
                table.name == name && schema.as_ref().is_none_or(|schema| table.schema == *schema)
            })
            .collect();
        if found.iter().any(|candidate| candidate.is_on_search_path) {
            found.retain(|candidate| candidate.is_on_search_path);
        }
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Some(one.table.clone())),
            several => return Err(ambiguous(file, &name, several)),
        }
    }
    Ok(None)
}

/// What a text can mean, as schema and name: a whole name first, then a schema before each dot.
///
/// Double quotes have SQL's meaning, so `"Order.Lines"` is one name.
fn readings(text: &str) -> Vec<(Option<String>, String)> {
    if text.contains('"') {
        return match identifiers(text).unwrap_or_default().as_slice() {
            [name] => vec![(None, name.clone())],
            [schema, name] => vec![(Some(schema.clone()), name.clone())],
            _ => Vec::new(),
        };
    }
    let with_schema = text.match_indices('.').map(|(dot, _)| {
        let (schema, name) = (&text[..dot], &text[dot + 1..]);
        (Some(schema.to_owned()), name.to_owned())
    });
    std::iter::once((None, text.to_owned()))
        .chain(with_schema)
        .collect()
}

/// Identifiers separated by dots, some of them in double quotes. `None` if the quotes do not fit.
fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut end = quoted.find('"')?;
            while quoted[end + 1..].starts_with('"') {
                end += 2 + quoted[end + 2..].find('"')?;
            }
            name = quoted[..end].replace("\"\"", "\"");
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            name = rest[..end].to_owned();
            rest = &rest[end..];
        }
        if name.is_empty() {
            return None;
        }
        all.push(name);
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None => return rest.is_empty().then_some(all),
        }
    }
}

/// The stem of a file's name, and what remains of it without each leading number. A separator must
/// follow a number: the table of `2fa_tokens` is not `fa_tokens`.
fn with_and_without_number(stem: &str) -> Vec<&str> {
    const SEPARATORS: [char; 4] = ['_', '-', '.', ' '];
    let mut all = vec![stem];
    let mut rest = stem;
    loop {
        let name = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let without = name.trim_start_matches(SEPARATORS);
        if name.len() == rest.len() || without.len() == name.len() || without.is_empty() {
            return all;
        }
        rest = without;
        all.push(rest);
    }
}

fn nameless(file: &InputFile) -> Error {
    Error::new(
        ErrorKind::Seed,
        format!(
            "the name of a CSV or JSON file must contain its table, but {} does not",
            file.display_path
        ),
    )
    .with_help(
        "name the file after its table, with a number in front for the order: 010_services.csv",
    )
}

fn unknown(file: &InputFile, text: &str, candidates: &[Candidate], help: &str) -> Error {
    let names: Vec<String> = candidates
        .iter()
        .map(|candidate| candidate.table.name.to_string())
        .collect();
    let help = match nearest(text, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean the table {name}? {help}"),
        None => help.to_owned(),
    };
    Error::new(
        ErrorKind::Seed,
        format!(
            "{} {} is for the table {text}, which does not exist",
            file.noun, file.display_path
        ),
    )
    .with_help(help)
}

fn ambiguous(file: &InputFile, name: &str, tables: &[&Candidate]) -> Error {
    let all: Vec<String> = tables
        .iter()
        .map(|candidate| {
            let RelationName { schema, name } = &candidate.table.name;
            format!("{schema}.{name}")
        })
        .collect();
    Error::new(
        ErrorKind::Seed,
        format!(
            "{} {} must name one table, but {name} can be {}",
            file.noun,
            file.display_path,
            all.join(" or ")
        ),
    )
    .with_help("write the schema in front of the name, for example 010_app.users.csv")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, name: &str) -> Candidate {
        Candidate {
            table: SeedTable {
                name: RelationName {
                    schema: schema.to_owned(),
                    name: name.to_owned(),
                },
                on_conflict: "",
            },
            is_on_search_path: ["public", "app"].contains(&schema),
        }
    }

    fn found(tables: &[Candidate], text: &str) -> Option<String> {
        let file = InputFile::embedded("seed", "x.csv", "");
        let found = find(tables, text, &file).expect("it is not ambiguous")?;
        Some(format!("{}.{}", found.name.schema, found.name.name))
    }

    #[test]
    fn every_leading_number_is_cut_after_the_whole_name() {
        for (stem, all) in [
            ("2fa_tokens", &["2fa_tokens"] as &[&str]),
            ("010_products", &["010_products", "products"]),
            ("01_2fa_tokens", &["01_2fa_tokens", "2fa_tokens"]),
            (
                "2026-01 01.a.b",
                &["2026-01 01.a.b", "01 01.a.b", "01.a.b", "a.b"],
            ),
            ("users", &["users"]),
            ("010_", &["010_"]),
            ("010", &["010"]),
        ] {
            assert_eq!(with_and_without_number(stem), all, "{stem}");
        }
    }

    #[test]
    fn a_name_means_a_whole_name_before_a_schema_and_quotes_have_the_meaning_of_sql() {
        let tables = [
            table("public", "Order.Lines"),
            table("Order", "Lines"),
            table("elsewhere", "notes"),
            table("public", "say \"hi\""),
            table("public", "users"),
            table("elsewhere", "users"),
        ];
        for (text, expected) in [
            ("Order.Lines", Some("public.Order.Lines")),
            ("\"Order.Lines\"", Some("public.Order.Lines")),
            ("\"Order\".\"Lines\"", Some("Order.Lines")),
            ("Order.\"Lines\"", Some("Order.Lines")),
            ("notes", Some("elsewhere.notes")),
            ("elsewhere.notes", Some("elsewhere.notes")),
            ("\"say \"\"hi\"\"\"", Some("public.say \"hi\"")),
            ("users", Some("public.users")),
            ("elsewhere.users", Some("elsewhere.users")),
            ("public.notes", None),
            ("\"notes", None),
            ("Notes", None),
        ] {
            assert_eq!(found(&tables, text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_name_in_two_schemas_of_the_search_path_is_ambiguous() {
        let file = InputFile::embedded("seed", "x.csv", "");
        for tables in [
            [table("public", "users"), table("app", "users")],
            [table("one", "users"), table("two", "users")],
        ] {
            let error = find(&tables, "users", &file).expect_err("two tables");
            assert!(error.to_string().contains(".users or "), "{error}");
        }
    }
}
