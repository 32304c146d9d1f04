//! Three migrations with data in between, in every layout.

use crate::support::Scratch;

pub const UP: [&str; 3] = [
    "create table people (id int primary key, name text not null);\n",
    "alter table people add last_name text;\n\
     update people set last_name = split_part(name, ' ', 2);\n",
    "create table notes (id int);\n",
];
pub const DOWN: [&str; 3] = [
    "drop table people;\n",
    "alter table people drop last_name;\n",
    "drop table notes;\n",
];

/// How a tool writes the migrations.
#[derive(Debug, Clone, Copy)]
pub struct ToolLayout {
    pub name: &'static str,
    /// The files of a migration, each with its text. `{up}` and `{down}` stand for the statements.
    pub files: [&'static [(&'static str, &'static str)]; 3],
    /// The versions, as the tool records them.
    pub versions: [&'static str; 3],
    /// How a test can write the first version.
    pub spellings: &'static [&'static str],
    /// The applied versions in order, as text; `None` if the tool has no ledger.
    pub ledger: Option<&'static str>,
    pub is_reversible: bool,
}

const DBMATE: &str = "-- migrate:up\n{up}-- migrate:down\n{down}";
const GOOSE: &str = "-- +goose Up\n{up}-- +goose Down\n{down}";
const SQL_MIGRATE: &str = "-- +migrate Up\n{up}-- +migrate Down\n{down}";

pub const LAYOUTS: [ToolLayout; 7] = [
    ToolLayout {
        name: "sqlx",
        files: [
            &[("9_people.up.sql", "{up}"), ("9_people.down.sql", "{down}")],
            &[("10_names.up.sql", "{up}"), ("10_names.down.sql", "{down}")],
            &[("41_notes.up.sql", "{up}"), ("41_notes.down.sql", "{down}")],
        ],
        versions: ["9", "10", "41"],
        spellings: &["9", "009"],
        ledger: Some(
            "select version::text from _sqlx_migrations order by _sqlx_migrations.version",
        ),
        is_reversible: true,
    },
    ToolLayout {
        name: "diesel",
        files: [
            &[
                ("2026-01-01-000000_people/up.sql", "{up}"),
                ("2026-01-01-000000_people/down.sql", "{down}"),
            ],
            &[
                ("20260201000000_names/up.sql", "{up}"),
                ("20260201000000_names/down.sql", "{down}"),
            ],
            &[
                ("2026-03-01-000000_notes/up.sql", "{up}"),
                ("2026-03-01-000000_notes/down.sql", "{down}"),
            ],
        ],
        versions: ["20260101000000", "20260201000000", "20260301000000"],
        spellings: &["2026-01-01-000000", "20260101000000"],
        ledger: Some("select version from __diesel_schema_migrations order by version"),
        is_reversible: true,
    },
    ToolLayout {
        name: "refinery",
        files: [
            &[("V9__people.sql", "{up}")],
            &[("V10__names.sql", "{up}")],
            &[("V41__notes.sql", "{up}")],
        ],
        versions: ["9", "10", "41"],
        spellings: &["9"],
        ledger: Some("select version::text from refinery_schema_history l order by l.version"),
        is_reversible: false,
    },
    ToolLayout {
        name: "dbmate",
        files: [
            &[("007_people.sql", DBMATE)],
            &[("008_names.sql", DBMATE)],
            &[("041_notes.sql", DBMATE)],
        ],
        versions: ["007", "008", "041"],
        spellings: &["007", "7"],
        ledger: Some("select version from schema_migrations order by version"),
        is_reversible: true,
    },
    ToolLayout {
        name: "goose",
        files: [
            &[("00009_people.sql", GOOSE)],
            &[("00010_names.sql", GOOSE)],
            &[("00041_notes.sql", GOOSE)],
        ],
        versions: ["9", "10", "41"],
        spellings: &["9", "00009"],
        ledger: Some(
            "select version_id::text from goose_db_version where version_id > 0 order by id",
        ),
        is_reversible: true,
    },
    ToolLayout {
        name: "sql-migrate",
        files: [
            &[("9-people.sql", SQL_MIGRATE)],
            &[("10-names.sql", SQL_MIGRATE)],
            &[("41-notes.sql", SQL_MIGRATE)],
        ],
        versions: ["9-people.sql", "10-names.sql", "41-notes.sql"],
        spellings: &["9-people.sql", "9-people", "9"],
        ledger: Some("select id from gorp_migrations order by applied_at, id"),
        is_reversible: true,
    },
    ToolLayout {
        name: "sql",
        files: [
            &[("009_people.sql", "{up}")],
            &[("010_names.sql", "{up}")],
            &[("041_notes.sql", "{up}")],
        ],
        versions: ["009_people.sql", "010_names.sql", "041_notes.sql"],
        spellings: &["009_people.sql", "009_people", "9"],
        ledger: None,
        is_reversible: false,
    },
];

impl ToolLayout {
    /// Writes the migrations into a directory.
    pub fn write(&self, scratch: &Scratch, dir: &str) {
        for (number, files) in self.files.iter().enumerate() {
            for (name, text) in *files {
                let text = text.replace("{up}", UP[number]);
                let text = text.replace("{down}", DOWN[number]);
                scratch.write(&format!("{dir}/{name}"), &text);
            }
        }
    }

    /// The layout's entry in `ebbtide.toml`, which names it.
    pub fn builder(&self, scratch: &Scratch) -> ebbtide::config::Builder {
        self.write(scratch, "migrations");
        let key = format!(
            "[provision]\nmigrations = {{ {} = 'migrations' }}\n",
            self.name
        );
        scratch.write("ebbtide.toml", &key);
        ebbtide::Harness::builder()
            .config_file(scratch.path("ebbtide.toml"))
            .without_seeds()
    }
}
