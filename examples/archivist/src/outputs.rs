//! Outputs, and the permissions of users on them.

use sqlx::FromRow;
use sqlx::postgres::{PgConnection, PgPool};

use crate::enums::{OutputStatus, OutputType, UserRole};

/// A user's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Creates a draft that belongs to the user.
    Create {
        /// Its type.
        kind: OutputType,
        /// Its title.
        title: String,
    },
    /// Replaces the text of a draft.
    Edit {
        /// The output.
        id: i64,
        /// The text.
        content: String,
    },
    /// Submits a draft to the funder.
    Submit {
        /// The output.
        id: i64,
    },
    /// Records that the funder awards the grant.
    Award {
        /// The output.
        id: i64,
        /// In dollars, such as `25000.00`.
        amount: String,
        /// The day of the funder's decision, such as `2026-03-02`.
        decided_on: String,
    },
}

/// An output in the API's responses.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Output {
    /// Its id.
    pub id: i64,
    /// Its owner's email.
    pub owner: String,
    /// Its type.
    pub kind: OutputType,
    /// Its status.
    pub status: OutputStatus,
    /// Its title.
    pub title: String,
    /// Its text.
    pub content: String,
    /// The awarded amount in dollars, with two decimals. `None` if nothing was awarded.
    pub amount_awarded: Option<String>,
}

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No active user has this email.
    #[error("no active user has the email {0}")]
    Unknown(String),
    /// The role does not permit the request.
    #[error("the role {role:?} does not permit this request")]
    Forbidden {
        /// The role.
        role: UserRole,
    },
    /// No output has this id.
    #[error("output {0} does not exist")]
    NotFound(i64),
    /// The output's status does not permit the request.
    #[error("the output's status {status:?} does not permit this request")]
    Conflict {
        /// The output's status.
        status: OutputStatus,
    },
    /// The values violate a check constraint.
    #[error("the values violate the constraint {0}")]
    Invalid(String),
    /// Another error of the database.
    #[error("a statement failed")]
    Database(#[source] sqlx::Error),
}

impl RequestError {
    /// The status of the HTTP response.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Unknown(_) => 401,
            Self::Forbidden { .. } => 403,
            Self::NotFound(_) => 404,
            Self::Conflict { .. } => 409,
            Self::Invalid(_) => 422,
            Self::Database(_) => 500,
        }
    }
}

impl From<sqlx::Error> for RequestError {
    fn from(error: sqlx::Error) -> Self {
        let violation = error
            .as_database_error()
            .filter(|error| error.is_check_violation());
        match violation.and_then(|violation| violation.constraint()) {
            Some(constraint) => Self::Invalid(constraint.to_owned()),
            None => Self::Database(error),
        }
    }
}

/// Executes a user's request and inserts a row into the audit log, in one transaction.
///
/// # Errors
/// See [`RequestError`]. After an error, nothing was written.
pub async fn handle(pool: &PgPool, email: &str, request: &Request) -> Result<Output, RequestError> {
    let mut transaction = pool.begin().await?;
    let caller = Caller::find(&mut transaction, email).await?;
    let (id, action) = match request {
        Request::Create { kind, title } => (
            create(&mut transaction, caller.id, *kind, title).await?,
            "create",
        ),
        Request::Edit { id, content } => {
            let output = OutputState::find(&mut transaction, *id).await?;
            caller.require(output.owner_id == caller.id || caller.is_editor())?;
            output.require_status(&[OutputStatus::Draft])?;
            let edit = sqlx::query("update outputs set content = $2 where id = $1")
                .bind(id)
                .bind(content);
            edit.execute(&mut *transaction).await?;
            (*id, "edit")
        }
        Request::Submit { id } => {
            let output = OutputState::find(&mut transaction, *id).await?;
            caller.require(output.owner_id == caller.id || caller.is_editor())?;
            output.require_status(&[OutputStatus::Draft])?;
            let submit = sqlx::query("update outputs set status = $2 where id = $1").bind(id);
            submit
                .bind(OutputStatus::Submitted)
                .execute(&mut *transaction)
                .await?;
            (*id, "submit")
        }
        Request::Award {
            id,
            amount,
            decided_on,
        } => {
            let output = OutputState::find(&mut transaction, *id).await?;
            caller.require(caller.is_editor())?;
            output.require_status(&[OutputStatus::Submitted, OutputStatus::Pending])?;
            award(&mut transaction, *id, amount, decided_on).await?;
            (*id, "award")
        }
    };
    let entry = "insert into audit_log (user_id, action, details) values ($1, $2, jsonb_build_object('output', $3::bigint))";
    sqlx::query(entry)
        .bind(caller.id)
        .bind(action)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    let output = load_output(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(output)
}

#[derive(Debug, FromRow)]
struct Caller {
    id: i64,
    role: UserRole,
}

/// The columns that decide whether a request is permitted.
#[derive(Debug, FromRow)]
struct OutputState {
    owner_id: i64,
    status: OutputStatus,
}

impl Caller {
    async fn find(connection: &mut PgConnection, email: &str) -> Result<Self, RequestError> {
        let find =
            sqlx::query_as("select id, role from users where email = $1 and is_active").bind(email);
        find.fetch_optional(connection)
            .await?
            .ok_or_else(|| RequestError::Unknown(email.to_owned()))
    }

    fn is_editor(&self) -> bool {
        match self.role {
            UserRole::Writer => false,
            UserRole::Editor | UserRole::Admin => true,
        }
    }

    fn require(&self, is_allowed: bool) -> Result<(), RequestError> {
        if is_allowed {
            Ok(())
        } else {
            Err(RequestError::Forbidden { role: self.role })
        }
    }
}

impl OutputState {
    /// Locks the output until the end of the transaction, so that no concurrent request changes it.
    async fn find(connection: &mut PgConnection, id: i64) -> Result<Self, RequestError> {
        let find = sqlx::query_as("select owner_id, status from outputs where id = $1 for update")
            .bind(id);
        find.fetch_optional(connection)
            .await?
            .ok_or(RequestError::NotFound(id))
    }

    fn require_status(&self, statuses: &[OutputStatus]) -> Result<(), RequestError> {
        if statuses.contains(&self.status) {
            Ok(())
        } else {
            Err(RequestError::Conflict {
                status: self.status,
            })
        }
    }
}

async fn create(
    connection: &mut PgConnection,
    owner: i64,
    kind: OutputType,
    title: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into outputs (owner_id, kind, title) values ($1, $2, $3) returning id",
    )
    .bind(owner)
    .bind(kind)
    .bind(title)
    .fetch_one(connection)
    .await
}

async fn award(
    connection: &mut PgConnection,
    id: i64,
    amount: &str,
    decided_on: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update outputs set status = $2, amount_awarded = $3::text::numeric, decided_on = $4::text::date where id = $1",
    )
    .bind(id)
    .bind(OutputStatus::Awarded)
    .bind(amount)
    .bind(decided_on)
    .execute(connection)
    .await?;
    Ok(())
}

async fn load_output(connection: &mut PgConnection, id: i64) -> Result<Output, sqlx::Error> {
    sqlx::query_as(
        "select outputs.id, users.email as owner, kind, status, title, content, amount_awarded::text as amount_awarded \
         from outputs join users on users.id = outputs.owner_id where outputs.id = $1",
    )
    .bind(id)
    .fetch_one(connection)
    .await
}
