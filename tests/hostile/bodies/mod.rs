//! Everything hostile that a test may do.

mod code;
mod data;
mod links;
mod ours;
mod schema;
mod server;
mod session;
mod statistics;

use crate::body::Body;

pub(crate) use server::SERVER_WIDE;

/// All bodies whose effects end with their test.
pub(crate) fn all() -> Vec<&'static Body> {
    [
        session::BODIES,
        data::BODIES,
        statistics::BODIES,
        schema::BODIES,
        ours::BODIES,
        server::BODIES,
        links::BODIES,
        code::BODIES,
    ]
    .concat_refs()
}

trait ConcatRefs {
    fn concat_refs(self) -> Vec<&'static Body>;
}

impl<const N: usize> ConcatRefs for [&'static [Body]; N] {
    fn concat_refs(self) -> Vec<&'static Body> {
        self.into_iter().flatten().collect()
    }
}
