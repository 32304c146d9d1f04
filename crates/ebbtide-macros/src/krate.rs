//! Where things are: the crate ebbtide, and the package that the test belongs to.

use std::env;
use std::path::PathBuf;

use proc_macro_crate::FoundCrate;
use proc_macro2::Span;
use syn::{Ident, Path, parse_quote_spanned};

/// The path of ebbtide for code of the current package, whatever its `Cargo.toml` calls it.
pub(crate) fn path() -> Path {
    let name = match proc_macro_crate::crate_name("ebbtide") {
        Ok(FoundCrate::Name(name)) => name,
        // The crate's own integration tests and examples know it by its name. Without an answer, nothing is likelier.
        Ok(FoundCrate::Itself) | Err(_) => String::from("ebbtide"),
    };
    let name = Ident::new(&name, Span::mixed_site());
    parse_quote_spanned!(Span::mixed_site()=> ::#name)
}

/// The package's root, unless something other than cargo compiles.
pub(crate) fn package_root() -> Option<PathBuf> {
    env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}
