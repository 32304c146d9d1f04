//! The parts of a fingerprint that a release of ebbtide determines.

/// Part of every fingerprint. Raise it whenever provisioning makes a different database from the
/// same inputs, or writes its report, which the template's comment holds, in another form.
pub(crate) const FORMAT: u32 = 11;

/// The SQL of ebbtide's own objects, which every template contains. It is part of the fingerprint:
/// a release of ebbtide with other objects builds a new template.
pub(super) const OWN_OBJECTS: [&str; 5] = [
    include_str!("../guard/schema/guard.sql"),
    include_str!("../guard/schema/rewound.sql"),
    include_str!("../guard/schema/reset.sql"),
    include_str!("../guard/schema/restore_estimates.sql"),
    include_str!("../guard/schema/estimates_differ.sql"),
];
