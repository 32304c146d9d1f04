//! The database's enums. The labels are what the migrations say, and a test compares the two.

use ebbtide::PgEnum;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "userrole", rename_all = "snake_case")]
pub enum UserRole {
    /// Writes, and edits what is their own.
    Writer,
    /// Edits everything, and says what was awarded.
    Editor,
    /// All of that.
    Admin,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "outputtype", rename_all = "snake_case")]
pub enum OutputType {
    /// The whole application.
    GrantProposal,
    /// The letter before it.
    LetterOfInquiry,
    /// What became of the money.
    GrantReport,
    /// Anything else.
    Other,
}

/// How far an output has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PgEnum, sqlx::Type)]
#[sqlx(type_name = "outputstatus", rename_all = "snake_case")]
pub enum OutputStatus {
    /// It is being written.
    Draft,
    /// The funder has it.
    Submitted,
    /// The funder has asked for more time.
    Pending,
    /// The funder pays.
    Awarded,
    /// The funder does not.
    NotAwarded,
}

/// How something is written.
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
    /// Otherwise.
    Other,
}
