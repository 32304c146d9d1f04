//! The session that executes a file: its transaction, its deadline, and the rows that it inserts.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::Instant;

use crate::error::Result;
use crate::lexer::Strings;
use crate::names::Literal;
use crate::provision::inserted_rows::{self, RowCounts};
use crate::provision::own_statement;
use crate::sql_error;

/// Who began the transaction that the session is in, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transactions {
    /// ebbtide: one for the whole file.
    Ours,
    /// The file, or each statement has its own.
    OfTheFile,
}

pub(super) struct Session<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) transactions: Transactions,
    pub(super) pid: i32,
    pub(super) deadline: Instant,
    /// The counts at the start of what was not added to `inserted` yet.
    before: RowCounts,
    inserted: RowCounts,
}

impl<'a> Session<'a> {
    /// Prepares a session for a file, which must finish within `timeout`.
    pub(super) async fn begin(
        connection: &'a mut PgConnection,
        transactions: Transactions,
        timeout: Duration,
    ) -> Result<Self> {
        let deadline = Instant::now() + timeout;
        let pid = sqlx::raw_sql("select pg_catalog.pg_backend_pid()::text")
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get::<String, _>(0));
        let pid = pid.map_err(|error| sql_error::failed("preparing the file", error))?;
        let mut session = Self {
            connection,
            transactions,
            pid: pid.parse().unwrap_or_default(),
            deadline,
            before: RowCounts::new(),
            inserted: RowCounts::new(),
        };
        if transactions == Transactions::Ours {
            own_statement::run(session.connection, "begin").await?;
        }
        session.before = session.counts().await?;
        Ok(session)
    }

    /// Adds the rows that were inserted since the start, or since the last call.
    pub(super) async fn count_inserted(&mut self) -> Result<()> {
        let counts = self.counts().await?;
        for (table, count) in inserted_rows::difference(counts, &self.before) {
            *self.inserted.entry(table).or_default() += count;
        }
        Ok(())
    }

    /// Commits our transaction. The server checks deferred constraints here.
    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("commit")
            .execute(&mut *self.connection)
            .await
            .map(drop)
    }

    /// From here on the file controls its transactions. Ours is committed and counted.
    pub(super) async fn leave_to_file(&mut self) -> Result<()> {
        self.transactions = Transactions::OfTheFile;
        self.before = self.counts().await?;
        Ok(())
    }

    /// The inserted rows, at the end of the file.
    pub(super) fn into_inserted(self) -> RowCounts {
        self.inserted
    }

    /// Makes the driver able to read names again: the file may have set another encoding.
    pub(super) async fn restore_encoding(&mut self) -> Result<()> {
        own_statement::run(self.connection, "set client_encoding to 'UTF8'").await
    }

    /// Whether the session is within a transaction block: there, the transaction is older than the
    /// statement that is being executed.
    /// <https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT>
    pub(super) async fn is_in_transaction(&mut self) -> Result<bool> {
        let query = "select (pg_catalog.statement_timestamp() <> pg_catalog.now())::text";
        let row = sqlx::raw_sql(query).fetch_one(&mut *self.connection).await;
        row.and_then(|row| row.try_get::<String, _>(0))
            .map(|is_older| is_older == "true")
            .map_err(|error| sql_error::failed("ending the file", error))
    }

    /// How the server reads a string without a prefix.
    pub(super) async fn strings(&mut self) -> Result<Strings, sqlx::Error> {
        Ok(
            match self
                .setting("standard_conforming_strings")
                .await?
                .as_deref()
            {
                Some("off") => Strings::Escaped,
                _ => Strings::Standard,
            },
        )
    }

    /// The value of a setting; `None` if the server does not know it.
    pub(super) async fn setting(&mut self, name: &str) -> Result<Option<String>, sqlx::Error> {
        let query = format!("select pg_catalog.current_setting({}, true)", Literal(name));
        sqlx::raw_sql(AssertSqlSafe(query))
            .fetch_one(&mut *self.connection)
            .await?
            .try_get(0)
    }

    /// Within our transaction, the session has the counts. Otherwise each commit may have reported
    /// them.
    async fn counts(&mut self) -> Result<RowCounts> {
        match self.transactions {
            Transactions::Ours => inserted_rows::in_transaction(self.connection).await,
            Transactions::OfTheFile => inserted_rows::in_all_transactions(self.connection).await,
        }
    }
}
