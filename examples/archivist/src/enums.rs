//! The database's enums. A test compares their labels with those in the migrations.

use ebbtide::PgEnum;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "userrole", rename_all = "snake_case")]
pub enum UserRole {
    /// Writes outputs, and edits their own.
    Writer,
    /// Edits every output, and records awards.
    Editor,
    /// May do everything.
    Admin,
}

/// The type of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "outputtype", rename_all = "snake_case")]
pub enum OutputType {
    /// The complete application.
    GrantProposal,
    /// The letter that precedes an application.
    LetterOfInquiry,
    /// The report on how the money was spent.
    GrantReport,
    /// Anything else.
    Other,
}

/// The status of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "outputstatus", rename_all = "snake_case")]
pub enum OutputStatus {
    /// The writer is still working on it.
    Draft,
    /// The funder has received it.
    Submitted,
    /// The funder has asked for more time.
    Pending,
    /// The funder awards the grant.
    Awarded,
    /// The funder does not award the grant.
    NotAwarded,
}

/// The writing style of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "styletype", rename_all = "snake_case")]
pub enum StyleType {
    /// As a story.
    Narrative,
    /// With figures.
    Technical,
    /// To convince.
    Persuasive,
    /// With sources.
    Academic,
    /// Any other style.
    Other,
}
