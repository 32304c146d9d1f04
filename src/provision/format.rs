//! The part of a fingerprint that stands for how this version of ebbtide provisions.

/// Part of every fingerprint. Raise it whenever provisioning makes a different database from the
/// same inputs, or writes its report, which the template's comment holds, in another form.
pub(crate) const FORMAT: u32 = 11;
