//! Where an extension's files come from, and help for statements about extensions that the server
//! refused.

use sqlx::postgres::PgDatabaseError;

use crate::names::Ident;
use crate::test_error_help::is_contrib;

/// Further contrib modules, without those that `test_error_help` knows by their objects.
/// <https://www.postgresql.org/docs/current/contrib.html>
const CONTRIB: [&str; 27] = [
    "amcheck",
    "bloom",
    "cube",
    "dblink",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "isn",
    "lo",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_visibility",
    "pgrowlocks",
    "pgstattuple",
    "postgres_fdw",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "xml2",
];

/// The package and the image that contain an extension's files. `major` is the server's version, if
/// it is known.
pub(super) fn package_of(extension: &str, major: Option<u32>) -> String {
    let major = major.map_or("MAJOR".to_owned(), |major| major.to_string());
    match extension {
        "postgis" => format!(
            "Debian, Ubuntu: `apt-get install postgresql-{major}-postgis-3`; image: postgis/postgis"
        ),
        "vector" => format!(
            "Debian, Ubuntu: `apt-get install postgresql-{major}-pgvector`; image: \
             pgvector/pgvector"
        ),
        "timescaledb" => "package and image of timescale (timescale/timescaledb)".to_owned(),
        name if is_contrib(name) || CONTRIB.contains(&name) => format!(
            "it is one of PostgreSQL's contrib modules; \
             Debian, Ubuntu: `apt-get install postgresql-{major}` \
             (older releases: postgresql-contrib); \
             Fedora: `dnf install postgresql-contrib`; the image postgres has it"
        ),
        name => format!(
            "look for a package like `postgresql-{major}-{name}`, or an image that contains it"
        ),
    }
}

/// The extension that a statement needs and the server does not have.
pub(super) fn unavailable_extension(refused: &PgDatabaseError) -> Option<&str> {
    match refused.code() {
        // feature_not_supported
        "0A000" if refused.message().ends_with(" is not available") => {
            let name = refused.message().strip_prefix("extension \"")?;
            name.split('"').next()
        }
        // undefined_file: the form up to PostgreSQL 14.
        "58P01" if refused.message().contains("extension control file") => {
            let (path, _) = refused.message().split_once(".control\"")?;
            path.rsplit('/').next()
        }
        _ => None,
    }
}

/// Help for a statement about an extension.
pub(super) fn for_refused(refused: &PgDatabaseError) -> Option<String> {
    if let Some(name) = unavailable_extension(refused) {
        let file = refused.detail().unwrap_or(refused.message());
        return Some(format!("{name}: {}", package_of(name, major_in(file))));
    }
    let message = refused.message();
    let name = message.split('"').nth(1)?;
    match refused.code() {
        // insufficient_privilege
        "42501" if message.starts_with("permission denied to create extension") => Some(format!(
            "have a superuser run `CREATE EXTENSION {};` in the server's database template1, and \
             declare it in `extensions`; or name a superuser in the URL",
            Ident(name)
        )),
        // undefined_object
        "42704" if message.starts_with("required extension") => Some(format!(
            "write CREATE EXTENSION .. CASCADE, or declare `extensions = [\"{name}\"]` under \
             [provision]"
        )),
        // invalid_parameter_value
        "22023" if message.contains("no installation script") => Some(format!(
            "the server has other versions of it: \
             `select version from pg_available_extension_versions where name = '{name}'`"
        )),
        _ => None,
    }
}

/// The major version in the path of a server's file: `/usr/share/postgresql/15/extension`.
fn major_in(text: &str) -> Option<u32> {
    text.split(['/', '-', '@', '.'])
        .filter_map(|part| part.parse().ok())
        .find(|major| (10..100).contains(major))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_the_path_of_an_installation() {
        for (path, major) in [
            (
                "\"/usr/share/postgresql/15/extension/x.control\": No such",
                Some(15),
            ),
            ("\"/usr/pgsql-17/share/extension/x.control\"", Some(17)),
            (
                "\"/opt/homebrew/share/postgresql@16/extension/x.control\"",
                Some(16),
            ),
            ("\"/usr/local/share/postgresql/extension/x.control\"", None),
        ] {
            assert_eq!(major_in(path), major, "{path}");
        }
    }
}
