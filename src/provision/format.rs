//! The parts of a fingerprint that a release of ebbtide determines.

/// Part of every fingerprint. Raise it whenever provisioning makes a different database from the
/// same inputs, or writes its report, which the template's comment holds, in another form.
pub(crate) const FORMAT: u32 = 11;

/// The SQL of ebbtide's own objects, which every template contains. It is part of the fingerprint:
/// a release of ebbtide with other objects builds a new template.
pub(super) const OWN_OBJECTS: [&str; 5] = [
    include_str!("../template/guard.sql"),
    include_str!("../template/rewound.sql"),
    include_str!("../template/reset.sql"),
    include_str!("../template/restore_estimates.sql"),
    include_str!("../template/estimates_differ.sql"),
];
