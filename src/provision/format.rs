//! The part of a fingerprint that stands for how this version of ebbtide provisions.

/// Part of every fingerprint. Raise it whenever provisioning makes a different database from the
/// same inputs. Raise it also when the form of the report changes, which the template's comment
/// holds.
pub(crate) const FORMAT: u32 = 12;
