//! What a statement does to the tables, read from its text alone.

use super::relation::{QualifiedName, RelationKind, StatementReader};
use super::sql_script::Statement;
use crate::lexer::Token;

/// What a statement does to the tables.
pub(super) enum Effect {
    /// The table, and its parents, whose drop also drops the table.
    Create(QualifiedName, Vec<QualifiedName>),
    /// `SELECT .. INTO`: the table. The query may also call functions.
    SelectInto(QualifiedName),
    Drop(Vec<QualifiedName>),
    DropSchemas(Vec<String>),
    /// From, to.
    Rename(QualifiedName, QualifiedName),
    /// Parent, child.
    Inherit(QualifiedName, QualifiedName),
    /// Parent, child: they are separate from now on.
    Disinherit(QualifiedName, QualifiedName),
    /// `DROP .. CASCADE` of objects that a table may be made with, such as an access method or the
    /// type of a partition key.
    DropParts,
    /// Back to a savepoint. Unlike a `ROLLBACK` this is intended, so it removes the claims of its
    /// script.
    RollbackTo,
    /// `DROP OWNED`: any table may be gone.
    DropOwned,
    /// The statement may execute any SQL, or its syntax is not understood.
    Unknown,
    Nothing,
}

impl Effect {
    pub(super) fn of(statement: Statement<'_>) -> Self {
        let mut reader = StatementReader::of(statement);
        if reader.accept(&["create"]) {
            Self::of_create(&mut reader)
        } else if reader.accept(&["drop"]) {
            Self::of_drop(&mut reader).unwrap_or(Self::Unknown)
        } else if reader.accept(&["alter", "table"]) {
            Self::of_alter_table(&mut reader).unwrap_or(Self::Unknown)
        } else if reader.accept(&["alter", "extension"]) {
            // A member of an extension is dropped with the extension, and is no table of the user.
            let mut member = || {
                reader.identifier()?;
                reader.accept(&["add", "table"]).then(|| reader.name())?
            };
            member().map_or(Self::Nothing, |table| Self::Drop(vec![table]))
        } else if reader.accept(&["alter", "schema"]) {
            let schema = reader.identifier();
            if reader.accept(&["rename"]) {
                Self::DropSchemas(schema.into_iter().collect())
            } else {
                Self::Nothing
            }
        } else if reader.accept(&["rollback"]) {
            let to: [&[&str]; 3] = [&["to"], &["work", "to"], &["transaction", "to"]];
            if to.iter().any(|keywords| reader.accept(keywords)) {
                Self::RollbackTo
            } else {
                Self::Nothing
            }
        } else if ["select", "with"]
            .iter()
            .any(|keyword| reader.accept(&[keyword]))
        {
            reader.select_into().map_or(Self::Unknown, Self::SelectInto)
        } else if is_call(statement) {
            Self::Unknown
        } else {
            Self::Nothing
        }
    }

    fn of_create(reader: &mut StatementReader<'_>) -> Self {
        match reader.created_relation() {
            Some((RelationKind::Table, table)) if table.schema.as_deref() != Some("pg_temp") => {
                Self::Create(table, reader.parents())
            }
            Some((RelationKind::Table | RelationKind::View, _)) | None => Self::Nothing,
        }
    }

    fn of_drop(reader: &mut StatementReader<'_>) -> Option<Self> {
        if reader.accept(&["table"]) {
            reader.accept(&["if", "exists"]);
            Some(Self::Drop(reader.names()?))
        } else if reader.accept(&["schema"]) {
            reader.accept(&["if", "exists"]);
            Some(Self::DropSchemas(
                reader.names()?.into_iter().map(|name| name.table).collect(),
            ))
        } else if reader.accept(&["owned"]) {
            Some(Self::DropOwned)
        } else if [
            "index",
            "view",
            "trigger",
            "policy",
            "rule",
            "sequence",
            "materialized",
        ]
        .iter()
        .any(|kind| reader.accept(&[kind]))
        {
            Some(Self::Nothing)
        } else {
            Some(Self::DropParts)
        }
    }

    fn of_alter_table(reader: &mut StatementReader<'_>) -> Option<Self> {
        reader.accept(&["if", "exists"]);
        reader.accept(&["only"]);
        let table = reader.name()?;
        reader.symbol('*');
        if reader.accept(&["rename", "to"]) {
            let to = QualifiedName {
                schema: table.schema.clone(),
                table: reader.identifier()?,
            };
            Some(Self::Rename(table, to))
        } else if reader.accept(&["set", "schema"]) {
            let to = QualifiedName {
                schema: Some(reader.identifier()?),
                table: table.table.clone(),
            };
            Some(Self::Rename(table, to))
        } else if reader.accept(&["attach", "partition"]) {
            Some(Self::Inherit(table, reader.name()?))
        } else if reader.accept(&["inherit"]) {
            Some(Self::Inherit(reader.name()?, table))
        } else if reader.accept(&["detach", "partition"]) {
            Some(Self::Disinherit(table, reader.name()?))
        } else if reader.accept(&["no", "inherit"]) {
            Some(Self::Disinherit(reader.name()?, table))
        } else {
            Some(Self::Nothing)
        }
    }
}

/// Whether a statement may call functions, or execute a text, and does not only define them.
pub(super) fn is_call(statement: Statement<'_>) -> bool {
    let mut keywords = [
        "do", "call", "select", "with", "execute", "explain", "values",
    ]
    .iter();
    keywords.any(|keyword| statement.starts_with(&[keyword]))
}

/// Whether a statement makes the schema for temporary tables the one in which tables are created
/// (<https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SEARCH-PATH>).
pub(super) fn creates_temporary_tables(statement: Statement<'_>) -> bool {
    let text = statement.text().to_ascii_lowercase();
    let is_set = ["set", "select"]
        .iter()
        .any(|keyword| statement.starts_with(&[keyword]));
    let Some((_, value)) = text.split_once("search_path") else {
        return false;
    };
    let value = value.trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '_');
    let value = value.strip_prefix("to ").unwrap_or(value);
    is_set
        && value
            .trim_start_matches(['"', '\'', ' '])
            .starts_with("pg_temp")
}

/// Whether a statement may change `search_path`. `SET SCHEMA 'x'` is another spelling of it
/// (<https://www.postgresql.org/docs/current/sql-set.html>).
pub(super) fn changes_search_path(statement: Statement<'_>) -> bool {
    let set_schema: [&[&str]; 3] = [
        &["set", "schema"],
        &["set", "local", "schema"],
        &["set", "session", "schema"],
    ];
    set_schema
        .iter()
        .any(|keywords| statement.starts_with(keywords))
        || statement.tokens().any(|token| match token {
            Token::Word(text) | Token::Literal(text) => {
                text.to_ascii_lowercase().contains("search_path")
            }
            Token::Quoted(name) => name == "search_path",
            Token::Symbol(_) => false,
        })
}
