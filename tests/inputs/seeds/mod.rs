//! Seeds from CSV and JSON files: what they load, and what they leave behind.

mod csv;
mod files;
mod ids;
mod json;
mod tables;

use ebbtide::Tx;

use crate::support::Scratch;

/// A directory with one migration and some seeds, each a file and its text.
fn seeded(migration: &str, seeds: &[(&str, &str)]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("migrations/1_schema.sql", migration);
    for (file, text) in seeds {
        scratch.write(&format!("seeds/{file}"), text);
    }
    scratch
}

/// A transaction on the database that these files make.
async fn tx(scratch: &Scratch) -> Tx {
    scratch.builder().build().unwrap().tx().await.unwrap()
}
