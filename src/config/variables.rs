//! The variables that ebbtide reads, and a warning for every other one.

use super::env::{Environment, PREFIX, TEST_URL};
use super::key::CONFIG;
use super::key_type::{KeyType as _, Variable};
use super::keys::KEYS;
use super::nearest::nearest;
use super::source::Sourced;
use super::url::ServerUrl;
use crate::error::Result;

/// Every `EBBTIDE_*` variable that ebbtide reads.
fn known() -> impl Iterator<Item = &'static str> {
    let of_keys = KEYS.all().map(|key| key.variable);
    of_keys.filter(|name| !name.is_empty()).chain([CONFIG])
}

/// A warning for each `EBBTIDE_*` variable that ebbtide does not read.
pub(super) fn unknown(environment: &Environment) -> Vec<String> {
    let names = environment.names().into_iter();
    let unknown = names.filter(|name| known().all(|known_name| known_name != *name));
    let warning = |name: &str| {
        // All names share the prefix, so only the rest is compared.
        let endings = known().filter_map(|name| name.strip_prefix(PREFIX));
        match nearest(&name[PREFIX.len()..], endings) {
            Some(closest) => format!("unknown variable {name}: did you mean {PREFIX}{closest}?"),
            None => format!("unknown variable {name}: ebbtide does not read it"),
        }
    };
    unknown.map(warning).collect()
}

/// `TEST_DATABASE_URL`, which only the external backend uses.
pub(super) fn test_url(environment: &Environment) -> Result<Option<Sourced<Option<ServerUrl>>>> {
    let found = environment.find(TEST_URL);
    found
        .map(|found| <Option<ServerUrl>>::from_variable(Variable::new(&KEYS.url, found)))
        .transpose()
}
