//! What we know about errors that PostgreSQL cannot explain by itself.

use super::claims;
use super::script::Script;
use crate::advice::{extension_needed, is_contrib};
use crate::sql_error;

/// The package and the image that bring an extension's files.
pub(super) fn where_to_get(extension: &str, major: u32) -> String {
    match extension {
        "postgis" => format!(
            "Debian, Ubuntu: `apt-get install postgresql-{major}-postgis-3`; image: postgis/postgis"
        ),
        "vector" => format!(
            "Debian, Ubuntu: `apt-get install postgresql-{major}-pgvector`; image: pgvector/pgvector"
        ),
        "timescaledb" => "package and image of timescale (timescale/timescaledb)".to_owned(),
        name if is_contrib(name) => format!(
            "it is one of PostgreSQL's contrib modules; Debian, Ubuntu: `apt-get install postgresql-{major}` \
             (older releases: postgresql-contrib); Fedora: `dnf install postgresql-contrib`; the image postgres has it"
        ),
        name => format!(
            "look for a package like `postgresql-{major}-{name}`, or an image that contains it"
        ),
    }
}

/// Our own hint for a refused statement.
pub(super) fn on(code: &str, message: &str, scripts: &[Script]) -> Option<String> {
    let object = message
        .split('"')
        .nth(1)
        .or_else(|| message.strip_prefix("function ")?.split('(').next());
    match code {
        // undefined_object, undefined_function
        "42704" | "42883" => extension_needed(message),
        // undefined_table, which is also said of an alias that no FROM clause has
        "42P01" if !message.starts_with("relation ") => None,
        // Every migration has run when a seed does.
        "42P01" if scripts.is_empty() => {
            Some("a migration must create it: is its name misspelt, or its schema left out?".to_owned())
        }
        "42P01" => Some(creator_of(object?, scripts)),
        // duplicate_table, duplicate_object
        "42P07" | "42710" => Some("two migrations create it, or one does so twice".to_owned()),
        // object_in_use
        "55006" if message.contains("already in use as a tablespace") => Some(
            "another server has a tablespace there: that of an earlier version of these migrations removes it when it ends, \
             `linger` after its last test; wait for that, or use a place below the data directory (SET \
             allow_in_place_tablespaces = on; CREATE TABLESPACE .. LOCATION '', from PostgreSQL 15 on)"
                .to_owned(),
        ),
        // disk_full
        "53100" => Some(sql_error::MAKE_ROOM.to_owned()),
        _ => None,
    }
}

fn creator_of(relation: &str, scripts: &[Script]) -> String {
    let creators = claims::creators_of(relation, scripts);
    if creators.is_empty() {
        return format!(
            "no migration creates {relation}; is a file missing, or the name misspelt?"
        );
    }
    let places: Vec<String> = creators
        .iter()
        .map(|(name, line)| format!("{name}:{line}"))
        .collect();
    format!(
        "{} would create it, but has not run at this point: check the order of the versions",
        places.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_operator_class_leads_to_its_extension() {
        let message = "operator class \"gin_trgm_ops\" does not exist for access method \"gin\"";
        let help = on("42704", message, &[]).expect("we know this one");
        assert!(help.contains("extensions = [\"pg_trgm\"]"), "{help}");
        let help = on("42883", "function uuid_generate_v4() does not exist", &[])
            .expect("we know this one");
        assert!(help.contains("uuid-ossp"), "{help}");
    }

    #[test]
    fn a_tablespace_of_another_server_leads_to_its_linger() {
        let message = "directory \"/srv/fast/PG_15_202209061\" already in use as a tablespace";
        let help = on("55006", message, &[]).expect("we know this one");
        assert!(help.contains("`linger` after its last test"), "{help}");
        assert_eq!(
            on(
                "55006",
                "database \"x\" is being accessed by other users",
                &[]
            ),
            None
        );
    }

    #[test]
    fn a_missing_relation_leads_to_the_migration_that_creates_it() {
        let scripts = [Script::new(
            "2_users.sql",
            "-- later\ncreate table users (id int);",
        )];
        let help =
            on("42P01", "relation \"users\" does not exist", &scripts).expect("we look for it");
        assert!(help.starts_with("2_users.sql:2 would create it"), "{help}");
        let help =
            on("42P01", "relation \"ghosts\" does not exist", &scripts).expect("we look for it");
        assert!(help.starts_with("no migration creates ghosts"), "{help}");
    }
}
