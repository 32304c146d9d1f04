//! SQL files that no migration tool owns: seeds, fixtures and plain migrations. They run as under
//! `psql --single-transaction -v ON_ERROR_STOP=1 -f`, so the output of `pg_dump` can be one of them.
//!
//! ```text
//! BEGIN -> statements, data of COPY, commands of psql -> COMMIT
//!            |
//!            +- the file has a BEGIN or COMMIT of its own: COMMIT, then as under `psql -f`
//! ```
//!
//! A file that begins with `-- no-transaction` runs as under `psql -f` from its start: each
//! statement is a transaction. A file that ends within a transaction of its own is refused, because
//! psql would roll back what it contains. After any error the caller drops the database.
//!
//! | file | content |
//! |---|---|
//! | `source`, `scan`, `reader` | the bytes of a file; where a unit ends; the units |
//! | `command`, `variables` | the commands of psql, and what each means here |
//! | `statement` | what a statement needs: data, a check, a transaction |
//! | `file`, `run`, `session` | one file, its execution, and the session that executes it |
//! | `data` | the data of COPY in both directions |
//! | `conflicts` | the rows that an INSERT leaves out |
//! | `search` | searches the statements of a file |
//! | `refusal`, `help` | the error for a unit that cannot run, and its remedy |
//! | `in_migration` | the error for such a file among the migrations of a tool |

mod command;
mod conflicts;
mod data;
mod file;
mod help;
pub(super) mod in_migration;
mod reader;
mod refusal;
mod run;
pub(super) mod scan;
pub(super) mod search;
mod session;
mod source;
pub(super) mod statement;
mod variables;

pub(super) use file::PsqlFile;
pub(super) use run::Executed;
