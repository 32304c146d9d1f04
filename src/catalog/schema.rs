//! The schema of a database as plain values.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::aspect::Aspect;
use super::definition::{Definition, Restricted};
use super::ledger::{LedgerClaim, LedgerLayout};
use super::object::{ObjectKind, Place, SchemaObject};
use super::queries::{self, Connections, RowColumn, SNAPSHOT_SETTINGS};
use crate::error::Result;
use crate::sql_error;

/// The schema of a database: every object of the user with its definition, as PostgreSQL prints it.
///
/// It contains all that `pg_dump --create --schema-only` prints. Each [`Aspect`] can be left out.
/// These are always left out:
/// - rows of tables, values of sequences, and large objects
/// - objects that belong to extensions, except privileges that were changed after
///   `CREATE EXTENSION`
/// - roles and tablespaces themselves, because they belong to the server
/// - whether a subscription is enabled, and the versions of collations: `pg_dump` leaves them out
/// - the order in which privileges were granted
///
/// Some things are compared although `pg_dump` leaves them out: invalid indexes, the version of an
/// extension, and whether `plpgsql` and the schema `public` exist.
///
/// In JSON, a schema is an array of objects with the keys `kind`, `name` and `definition`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    pub(super) objects: BTreeMap<SchemaObject, Definition>,
}

impl Schema {
    /// Reads the schema of the current database of a connection. Uses one read-only transaction
    /// of at most six messages.
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
    /// sqlx::query("alter table customers add column vip boolean").execute(&mut
    /// *connection).await?;
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

    /// The schema without an aspect. Call it on both schemas of a comparison.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test(connection: &mut sqlx::PgConnection) -> ebbtide::Result<()> {
    /// use ebbtide::schema::{Aspect, Schema};
    /// let schema = Schema::read(connection).await?;
    /// let plain = schema.without(Aspect::Owners).without(Aspect::Comments);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without(mut self, aspect: Aspect) -> Self {
        self.objects.retain(|object, _| !aspect.is_all_of(object));
        for definition in self.objects.values_mut() {
            definition.remove(aspect);
        }
        self
    }

    /// Every object with its definition, sorted by kind and name.
    pub fn objects(&self) -> impl Iterator<Item = (&SchemaObject, &str)> {
        self.objects
            .iter()
            .map(|(object, definition)| (object, definition.text()))
    }

    /// The property `owner` of the database.
    pub(super) fn owner() -> SchemaObject {
        let place = Place {
            schema: None,
            relation: None,
            name: "owner",
            arguments: "",
        };
        SchemaObject::at(ObjectKind::Database, &place)
    }

    fn add(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let kind = text(row, RowColumn::Kind)?.unwrap_or_default();
        let kind = ObjectKind::named(&kind).ok_or_else(|| sqlx::Error::Decode(kind.into()))?;
        let (schema, relation) = (
            text(row, RowColumn::Schema)?,
            text(row, RowColumn::Relation)?,
        );
        let name = text(row, RowColumn::Name)?.unwrap_or_default();
        let arguments = text(row, RowColumn::Arguments)?.unwrap_or_default();
        let object = SchemaObject::at(
            kind,
            &Place {
                schema: schema.as_deref(),
                relation: relation.as_deref(),
                name: &name,
                arguments: &arguments,
            },
        );
        let mut definition = definition(kind, row)?;
        definition.container = container(row)?;
        definition.original = original(kind, row)?;
        self.objects.insert(object, definition);
        Ok(())
    }
}

fn text(row: &PgRow, column: RowColumn) -> Result<Option<String>, sqlx::Error> {
    row.try_get(column as usize)
}

fn definition(kind: ObjectKind, row: &PgRow) -> Result<Definition, sqlx::Error> {
    let mut aspects = BTreeMap::new();
    for (aspect, column) in [
        (Aspect::Tablespaces, RowColumn::Tablespace),
        (Aspect::Owners, RowColumn::Owner),
        (Aspect::Privileges, RowColumn::Privileges),
        (Aspect::SecurityLabels, RowColumn::Labels),
        (Aspect::Comments, RowColumn::Comment),
    ] {
        if let Some(line) = text(row, column)? {
            aspects.insert(aspect, line);
        }
    }
    let mut columns = Vec::new();
    if let Some(state) = text(row, RowColumn::State)? {
        match kind {
            ObjectKind::Table => columns = state.lines().map(ToOwned::to_owned).collect(),
            ObjectKind::Extension => drop(aspects.insert(Aspect::ExtensionVersions, state)),
            _ => drop(aspects.insert(Aspect::Population, state)),
        }
    }
    let restricted = text(row, RowColumn::Restricted)?.zip(text(row, RowColumn::Digest)?);
    let restricted = restricted.map(|(text, digest)| Restricted { text, digest });
    let core = text(row, RowColumn::Definition)?.unwrap_or_default();
    Ok(Definition::new(core, aspects, columns, restricted))
}

/// The table or view that the object of a row belongs to.
fn container(row: &PgRow) -> Result<Option<SchemaObject>, sqlx::Error> {
    let Some(relation) = text(row, RowColumn::Relation)? else {
        return Ok(None);
    };
    let kind = match text(row, RowColumn::RelationKind)?.as_deref() {
        Some("v") => ObjectKind::View,
        Some("m") => ObjectKind::MaterializedView,
        _ => ObjectKind::Table,
    };
    let schema = text(row, RowColumn::RelationSchema)?;
    let place = Place {
        schema: schema.as_deref(),
        relation: None,
        name: &relation,
        arguments: "",
    };
    Ok(Some(SchemaObject::at(kind, &place)))
}

/// The object of the partitioned table, if the object of a row belongs to a partition.
fn original(kind: ObjectKind, row: &PgRow) -> Result<Option<SchemaObject>, sqlx::Error> {
    let (relation, name) = (
        text(row, RowColumn::ParentRelation)?,
        text(row, RowColumn::ParentName)?,
    );
    let (Some(relation), Some(name)) = (relation, name) else {
        return Ok(None);
    };
    let schema = text(row, RowColumn::ParentSchema)?;
    let place = Place {
        schema: schema.as_deref(),
        relation: Some(&relation),
        name: &name,
        arguments: "",
    };
    Ok(Some(SchemaObject::at(kind, &place)))
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
    /// server may not support prepared ones. All objects come in the answer to one message.
    pub(crate) async fn read(
        connection: &mut PgConnection,
        ledgers: &[&LedgerLayout],
    ) -> Result<Self, sqlx::Error> {
        let mut transaction = connection
            .begin_with("begin isolation level repeatable read read only")
            .await?;
        let snapshot = Self::read_within(&mut transaction, ledgers).await?;
        transaction.rollback().await?;
        Ok(snapshot)
    }

    /// Like [`read`](Self::read), in the session's transaction. It keeps the settings of the
    /// reading.
    pub(crate) async fn read_within(
        transaction: &mut PgConnection,
        ledgers: &[&LedgerLayout],
    ) -> Result<Self, sqlx::Error> {
        let server = format!(
            "{SNAPSHOT_SETTINGS}; select current_setting('server_version'), current_user::text, \
             current_setting('server_version_num'), \
             has_column_privilege('pg_catalog.pg_subscription', 'subconninfo', 'select')"
        );
        let server = sqlx::raw_sql(AssertSqlSafe(server))
            .fetch_all(&mut *transaction)
            .await?;
        let server = server.first().ok_or(sqlx::Error::RowNotFound)?;
        let (version, role) = (server.try_get(0)?, server.try_get(1)?);
        let number: String = server.try_get(2)?;
        let number = number
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let connections = if server.try_get(3)? {
            Connections::Readable
        } else {
            Connections::Hidden
        };
        let everything = queries::everything(number, connections);
        let rows = sqlx::raw_sql(AssertSqlSafe(everything))
            .fetch_all(&mut *transaction)
            .await?;
        let mut schema = Schema::default();
        for row in &rows {
            schema.add(row)?;
        }
        let ledger = LedgerClaim::read(&mut *transaction, ledgers).await?;
        Ok(Self {
            schema,
            ledger,
            version,
            role,
        })
    }

    /// The snapshot without some aspects of its schema.
    pub(crate) fn without(self, aspects: &[Aspect]) -> Self {
        let schema = aspects
            .iter()
            .fold(self.schema, |schema, aspect| schema.without(*aspect));
        Self { schema, ..self }
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
        let definition = Definition::new("integer".into(), BTreeMap::new(), Vec::new(), None);
        let schema = Schema {
            objects: BTreeMap::from([(object, definition)]),
        };
        assert_eq!(
            serde_json::to_value(&schema).expect("a schema can be written as JSON"),
            serde_json::json!([{ "kind": "column", "name": "users.id", "definition": "integer" }])
        );
    }
}
