//! Migrations other than a directory of sqlx migrations: a program such as Alembic, directories of
//! other tools, plain SQL, or a function.

mod alembic;
mod commands;
mod directories;
mod environment;
mod project;
