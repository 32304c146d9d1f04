//! `CREATE EXTENSION` in migrations, compared with the declared extensions.

use super::relation::StatementReader;
use super::sql_script::{Script, Statement};
use crate::config::Extension;
use crate::error::{Error, ErrorKind, Result};
use crate::lexer::{Strings, Token, Tokens, string_content};

/// Checks that a migration which would skip a declared extension creates it in the same way.
///
/// A declared extension exists before the migrations. So `CREATE EXTENSION IF NOT EXISTS x SCHEMA
/// ext` does nothing, and without this check `x` would silently be in another schema.
///
/// # Errors
/// A migration specifies a schema or a version that the declared extension does not have.
pub(super) fn check(declared: &[Extension], scripts: &[Script]) -> Result<()> {
    if declared.is_empty() {
        return Ok(());
    }
    for script in scripts {
        let statements = script.statements();
        let created = statements.iter().flat_map(|statement| {
            let created = created_by(*statement).into_iter();
            created.map(|extension| (statement.offset(), extension))
        });
        for (offset, created) in created {
            let Some(declared) = declared.iter().find(|known| known.name == created.name) else {
                continue;
            };
            let is_other = |created: Option<&str>, declared: Option<&str>| {
                created.is_some() && created != declared
            };
            // Without a schema, PostgreSQL creates an extension in the first one of the search path.
            let declared_schema = declared.schema.as_deref().unwrap_or("public");
            if is_other(created.schema.as_deref(), Some(declared_schema))
                || is_other(created.version.as_deref(), declared.version.as_deref())
            {
                return Err(mismatch(declared, &created, script, offset));
            }
        }
    }
    Ok(())
}

/// The extensions that a statement creates if they do not exist: one for `CREATE EXTENSION`, and
/// those in the body of a `DO`.
fn created_by(statement: Statement<'_>) -> Vec<Extension> {
    if statement.starts_with(&["do"]) {
        let mut found = Vec::new();
        for token in statement.tokens() {
            if let Token::Literal(literal) = token {
                add_created_in(literal, &mut found);
            }
        }
        return found;
    }
    created(StatementReader::of(statement))
        .into_iter()
        .collect()
}

/// Adds the extensions that the content of a string creates, and those of strings in it.
fn add_created_in(literal: &str, found: &mut Vec<Extension>) {
    let Some((_, text)) = string_content(literal) else {
        return;
    };
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        match token {
            Token::Literal(inner) => add_created_in(inner, found),
            Token::Word(_) => {
                let here = Tokens::from(text, tokens.start, Strings::Standard);
                found.extend(created(StatementReader::at(here)));
            }
            Token::Quoted(_) | Token::Symbol(_) => {}
        }
    }
}

/// The extension of `CREATE EXTENSION IF NOT EXISTS`.
fn created(mut reader: StatementReader<'_>) -> Option<Extension> {
    if !reader.accept(&["create", "extension", "if", "not", "exists"]) {
        return None;
    }
    let mut extension = Extension::new(reader.identifier()?);
    reader.accept(&["with"]);
    loop {
        extension = if reader.accept(&["schema"]) {
            extension.schema(reader.identifier()?)
        } else if reader.accept(&["version"]) {
            extension.version(reader.text()?)
        } else if reader.accept(&["cascade"]) {
            extension
        } else {
            return Some(extension);
        };
    }
}

fn mismatch(declared: &Extension, created: &Extension, script: &Script, offset: usize) -> Error {
    let line = script.position_of_byte(offset).line;
    let name = &declared.name;
    let mut parts = vec![format!("name = {name:?}")];
    let of_both = [
        ("schema", &created.schema, &declared.schema),
        ("version", &created.version, &declared.version),
    ];
    for (key, created, declared) in of_both {
        parts.extend(
            created
                .as_ref()
                .or(declared.as_ref())
                .map(|value| format!("{key} = {value:?}")),
        );
    }
    Error::new(
        ErrorKind::ExtensionInstall,
        format!(
            "`extensions` must declare {name} as the migrations create it, but declares \
             \"{declared}\", and {}:{line} creates \"{created}\"",
            script.name()
        ),
    )
    .with_evidence("the statement", script.excerpt(offset))
    .with_help(format!(
        "declare {{ {} }}, or remove {name} from `extensions`",
        parts.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(declared: Extension, sql: &str) -> Result<()> {
        check(&[declared], &[Script::new("1_a.sql", sql)])
    }

    #[test]
    fn a_migration_that_would_skip_another_form_of_a_declared_extension_is_refused() {
        let uuid = || Extension::new("uuid-ossp");
        for sql in [
            "create extension if not exists \"uuid-ossp\" schema ext;",
            "select 1;\nCREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA ext;",
            "create extension if not exists \"uuid-ossp\" version '1.0' schema ext cascade;",
            "do $$ begin create extension if not exists \"uuid-ossp\" schema ext; end $$;",
            "do $$ begin\n  if true then\n    execute 'create extension if not exists \"uuid-ossp\" \
             schema ext';\n  end if;\nend $$;",
        ] {
            let error = checked(uuid(), sql).expect_err(sql);
            assert_eq!(error.kind(), ErrorKind::ExtensionInstall);
            let help = error.help().unwrap_or_default();
            assert!(
                help.contains("name = \"uuid-ossp\", schema = \"ext\""),
                "{help}"
            );
        }
        let error = checked(
            uuid().schema("ext").version("1.1"),
            "create extension if not exists \"uuid-ossp\" version \"1.0\"",
        );
        let help = "declare { name = \"uuid-ossp\", schema = \"ext\", version = \"1.0\" }, \
                    or remove uuid-ossp from `extensions`";
        assert_eq!(error.expect_err("another version").help(), Some(help));
    }

    #[test]
    fn an_equal_or_another_extension_is_legal() {
        let declared = || Extension::new("pg_trgm").schema("ext");
        for sql in [
            "create extension if not exists pg_trgm schema ext",
            "create extension if not exists pg_trgm",
            "create extension if not exists hstore schema other",
            // The server refuses this statement itself.
            "create extension pg_trgm schema other",
        ] {
            checked(declared(), sql).expect(sql);
        }
        let sql = "create extension if not exists pg_trgm with schema public";
        checked(Extension::new("pg_trgm"), sql).expect("the schema that it has without one");
        checked(declared(), sql).expect_err("another schema");
    }
}
