//! The hostile bodies, by what they change.

mod code;
mod data;
mod ebbtide_objects;
mod links;
mod schema;
mod server;
mod session;
mod statistics;

use crate::hostile::body::Body;

pub(crate) use server::SERVER_WIDE;

/// All bodies whose effects end with their test. The order is part of what a seed means.
pub(crate) fn all() -> Vec<&'static Body> {
    [
        session::BODIES,
        data::BODIES,
        statistics::BODIES,
        schema::BODIES,
        ebbtide_objects::BODIES,
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
