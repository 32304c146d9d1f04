//! Migrations other than a directory of sqlx migrations: a program such as Alembic, directories of
//! other tools, plain SQL, a function, or several of them.

mod alembic;
mod commands;
mod directories;
mod environment;
mod invisible;
mod many_files;
mod marked;
mod notes;
mod other_tools;
mod peculiar;
mod several;
