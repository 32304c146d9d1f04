//! One kind of change to a database.

/// One kind of change to a database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) name: &'static str,
    /// The kind of the object that is changed, among the kinds of the random schemas. Empty if the
    /// change needs no object.
    pub(super) of: &'static str,
    /// `{s}` is the object's schema, `{n}` its number, and `{d}` the database.
    pub(super) sql: &'static str,
    pub(super) differs: bool,
    /// The first major version that has it.
    pub(super) since: u32,
}

impl Change {
    pub(super) const fn new(name: &'static str, of: &'static str, sql: &'static str) -> Self {
        Self {
            name,
            of,
            sql,
            differs: true,
            since: 0,
        }
    }

    pub(super) const fn without_difference(self) -> Self {
        Self {
            differs: false,
            ..self
        }
    }

    pub(super) const fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }
}
