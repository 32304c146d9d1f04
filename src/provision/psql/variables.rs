//! The variables of psql, which it replaces in SQL: `:name`, `:'name'`, `:"name"`.
//! <https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-VARIABLES>

/// The variables that have a value when psql begins to read a file.
const PREDEFINED: [&str; 29] = [
    "AUTOCOMMIT",
    "COMP_KEYWORD_CASE",
    "DBNAME",
    "ECHO",
    "ECHO_HIDDEN",
    "ENCODING",
    "ERROR",
    "FETCH_COUNT",
    "HIDE_TABLEAM",
    "HIDE_TOAST_COMPRESSION",
    "HISTCONTROL",
    "HISTSIZE",
    "HOST",
    "LAST_ERROR_MESSAGE",
    "LAST_ERROR_SQLSTATE",
    "ON_ERROR_ROLLBACK",
    "ON_ERROR_STOP",
    "PORT",
    "PROMPT1",
    "QUIET",
    "ROW_COUNT",
    "SERVER_VERSION_NAME",
    "SERVER_VERSION_NUM",
    "SHOW_CONTEXT",
    "SQLSTATE",
    "USER",
    "VERBOSITY",
    "VERSION",
    "VERSION_NUM",
];

/// Variables that change how psql executes a file.
const CHANGING: [&str; 4] = [
    "AUTOCOMMIT",
    "ON_ERROR_ROLLBACK",
    "SINGLELINE",
    "SINGLESTEP",
];

pub(super) fn is_predefined(name: &str) -> bool {
    PREDEFINED.contains(&name)
}

pub(super) fn changes_execution(name: &str) -> bool {
    CHANGING.contains(&name)
}
