//! The schema of a database as plain values.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::ledger::{LedgerClaim, LedgerLayout};
use super::object::{ObjectKind, Place, SchemaObject};
use super::queries::{QUERIES, SNAPSHOT_SETTINGS};
use crate::error::Result;
use crate::sql_error;

/// The schema of a database: every object of the user with its definition, as PostgreSQL prints it.
///
/// Comments are part of a definition. These are left out:
/// - objects that belong to extensions (an extension counts by name and version)
/// - rows of tables, and values of sequences
/// - owners and privileges of objects, and tablespaces
/// - the order of a table's columns: an altered database has another order than a new one
/// - columns that a partition inherits, and so a default that only the partition has
/// - comments on the columns of views
/// - kinds that [`ObjectKind`] does not list
///
/// In JSON, a schema is an array of objects with the keys `kind`, `name` and `definition`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    pub(super) objects: BTreeMap<SchemaObject, Definition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) text: String,
    /// The table or view that the object belongs to.
    pub(super) owner: Option<SchemaObject>,
}

impl Schema {
    /// Reads the schema of the current database of a connection. Uses one read-only transaction
    /// with at most twenty queries.
    ///
    /// # Errors
    /// The connection is already in a transaction, or the server refuses a query.
    ///
    /// # Cancel safety
    /// The transaction is rolled back before the next use of the connection.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let database = ebbtide::database().await?;
    /// let mut connection = database.pool().acquire().await?;
    /// let before = ebbtide::schema::Schema::read(&mut connection).await?;
    /// sqlx::query("alter table customers add column vip boolean").execute(&mut *connection).await?;
    /// let after = ebbtide::schema::Schema::read(&mut connection).await?;
    /// assert_eq!(before.compare(&after).to_string(), "extra (1):\n  column customers.vip");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read(connection: &mut PgConnection) -> Result<Self> {
        // The result has no ledger, so none is read.
        let read = Snapshot::read(connection, &[]).await;
        read.map(|snapshot| snapshot.schema)
            .map_err(|error| sql_error::failed("reading the schema", error))
    }

    /// Every object with its definition, sorted by kind and name.
    pub fn objects(&self) -> impl Iterator<Item = (&SchemaObject, &str)> {
        self.objects
            .iter()
            .map(|(object, definition)| (object, definition.text.as_str()))
    }

    /// The property `owner` of the database, and the role that it names.
    pub(super) fn owner(&self) -> Option<(SchemaObject, &str)> {
        let place = Place {
            schema: None,
            relation: None,
            name: "owner",
            arguments: "",
        };
        let owner = SchemaObject::at(ObjectKind::Database, &place);
        let role = self.objects.get(&owner)?.text.as_str();
        Some((owner, role))
    }

    fn add(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let kind: String = row.try_get(0)?;
        let kind = ObjectKind::named(&kind).ok_or_else(|| sqlx::Error::Decode(kind.into()))?;
        let (schema, relation): (Option<String>, Option<String>) =
            (row.try_get(1)?, row.try_get(2)?);
        let (name, arguments): (String, String) = (row.try_get(4)?, row.try_get(5)?);
        let (text, comment): (Option<String>, Option<String>) = (row.try_get(6)?, row.try_get(7)?);
        let (schema, relation) = (schema.as_deref(), relation.as_deref());
        let owner_kind = match row.try_get::<Option<String>, _>(3)?.as_deref() {
            Some("v") => ObjectKind::View,
            Some("m") => ObjectKind::MaterializedView,
            _ => ObjectKind::Table,
        };
        let owner = relation.map(|name| {
            SchemaObject::at(
                owner_kind,
                &Place {
                    schema,
                    relation: None,
                    name,
                    arguments: "",
                },
            )
        });
        let comment = comment.map(|comment| format!("comment: {comment}"));
        let parts = [
            text.as_deref().unwrap_or_default().trim(),
            comment.as_deref().unwrap_or_default(),
        ];
        let text = parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("\n");
        let object = SchemaObject::at(
            kind,
            &Place {
                schema,
                relation,
                name: &name,
                arguments: &arguments,
            },
        );
        self.objects.insert(object, Definition { text, owner });
        Ok(())
    }
}

/// A map of objects has no JSON, because only texts can be keys there.
impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            #[serde(flatten)]
            object: &'a SchemaObject,
            definition: &'a str,
        }
        serializer.collect_seq(
            self.objects()
                .map(|(object, definition)| Entry { object, definition }),
        )
    }
}

/// Everything that is compared of a database, from one transaction.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) schema: Schema,
    pub(crate) ledger: Option<LedgerClaim>,
    /// The setting `server_version`.
    pub(crate) version: String,
    /// The session's role.
    pub(crate) role: String,
}

impl Snapshot {
    /// Reads a snapshot. Sends unprepared statements, because a pooler between this process and the
    /// server may not support prepared ones.
    pub(crate) async fn read(
        connection: &mut PgConnection,
        ledgers: &[&LedgerLayout],
    ) -> Result<Self, sqlx::Error> {
        let mut transaction = connection
            .begin_with("begin isolation level repeatable read read only")
            .await?;
        sqlx::raw_sql(SNAPSHOT_SETTINGS)
            .execute(&mut *transaction)
            .await?;
        let mut schema = Schema::default();
        for query in &QUERIES {
            let rows = sqlx::raw_sql(AssertSqlSafe(query.sql()))
                .fetch_all(&mut *transaction)
                .await?;
            for row in &rows {
                schema.add(row)?;
            }
        }
        let server = "select current_setting('server_version'), current_user::text";
        let server = sqlx::raw_sql(server).fetch_one(&mut *transaction).await?;
        let (version, role) = (server.try_get(0)?, server.try_get(1)?);
        let ledger = LedgerClaim::read(&mut transaction, ledgers).await?;
        transaction.rollback().await?;
        Ok(Self {
            schema,
            ledger,
            version,
            role,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_schema_is_an_array_of_objects() {
        let object = SchemaObject {
            kind: ObjectKind::Column,
            name: "users.id".into(),
        };
        let definition = Definition {
            text: "integer".into(),
            owner: None,
        };
        let schema = Schema {
            objects: BTreeMap::from([(object, definition)]),
        };
        assert_eq!(
            serde_json::to_value(&schema).expect("a schema can be written as JSON"),
            serde_json::json!([{ "kind": "column", "name": "users.id", "definition": "integer" }])
        );
    }
}
