//! The path of the crate ebbtide, and the directory of the test's package.

use std::env;
use std::path::PathBuf;

use proc_macro_crate::FoundCrate;
use proc_macro2::Span;
use syn::{Ident, Path, parse_quote_spanned};

/// The path of ebbtide for code of the current package, also if its `Cargo.toml` renames the
/// dependency.
pub(crate) fn path() -> Path {
    let name = match proc_macro_crate::crate_name("ebbtide") {
        Ok(FoundCrate::Name(name)) => name,
        // Ebbtide's own integration tests and examples use it by its name. If the lookup fails, the
        // name is the most likely path.
        Ok(FoundCrate::Itself) | Err(_) => String::from("ebbtide"),
    };
    let name = Ident::new(&name, Span::mixed_site());
    parse_quote_spanned!(Span::mixed_site()=> ::#name)
}

/// The package's directory; `None` if the compiler was not started by cargo.
pub(crate) fn package_root() -> Option<PathBuf> {
    env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}
