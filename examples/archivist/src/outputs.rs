//! Outputs, and who may do what with them.

use sqlx::FromRow;
use sqlx::postgres::{PgConnection, PgPool};

use crate::enums::{OutputStatus, OutputType, UserRole};

/// What a user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A new draft of one's own.
    Create {
        /// What it is.
        kind: OutputType,
        /// Its title.
        title: String,
    },
    /// Another text for a draft.
    Edit {
        /// The output.
        id: i64,
        /// The text.
        content: String,
    },
    /// To send a draft to the funder.
    Submit {
        /// The output.
        id: i64,
    },
    /// To write down that the funder pays.
    Award {
        /// The output.
        id: i64,
        /// In dollars, such as `25000.00`.
        amount: String,
        /// The day of the funder's decision, such as `2026-03-02`.
        decided_on: String,
    },
}

/// An output as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Output {
    /// Its number.
    pub id: i64,
    /// Its owner's email.
    pub owner: String,
    /// What it is.
    pub kind: OutputType,
    /// How far it has come.
    pub status: OutputStatus,
    /// Its title.
    pub title: String,
    /// Its text.
    pub content: String,
    /// In dollars, with two decimals; none unless it was awarded.
    pub amount_awarded: Option<String>,
}

/// Why a request is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody active has this email.
    #[error("nobody is called {0}")]
    Unknown(String),
    /// The role does not permit it.
    #[error("a {role:?} may not do that")]
    Forbidden {
        /// The role.
        role: UserRole,
    },
    /// There is no such output.
    #[error("there is no output {0}")]
    NotFound(i64),
    /// The output has come too far for it, or not far enough.
    #[error("it is {status:?}")]
    Conflict {
        /// How far it has come.
        status: OutputStatus,
    },
    /// The values break a rule of the database's.
    #[error("the rule {0} is broken")]
    Invalid(String),
    /// The database refused something else.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
}

impl Refusal {
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

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        let refusal = error
            .as_database_error()
            .filter(|refusal| refusal.is_check_violation());
        match refusal.and_then(|refusal| refusal.constraint()) {
            Some(rule) => Self::Invalid(rule.to_owned()),
            None => Self::Database(error),
        }
    }
}

/// Grants a user's request or says why not, in one transaction with its line in the audit log.
///
/// # Errors
/// See [`Refusal`]; nothing was written.
pub async fn handle(pool: &PgPool, email: &str, request: &Request) -> Result<Output, Refusal> {
    let mut transaction = pool.begin().await?;
    let caller = Caller::find(&mut transaction, email).await?;
    let (id, action) = match request {
        Request::Create { kind, title } => (
            create(&mut transaction, caller.id, *kind, title).await?,
            "create",
        ),
        Request::Edit { id, content } => {
            let output = Held::find(&mut transaction, *id).await?;
            caller.must(output.owner_id == caller.id || caller.is_editor())?;
            output.must_be(&[OutputStatus::Draft])?;
            let edit = sqlx::query("update outputs set content = $2 where id = $1")
                .bind(id)
                .bind(content);
            edit.execute(&mut *transaction).await?;
            (*id, "edit")
        }
        Request::Submit { id } => {
            let output = Held::find(&mut transaction, *id).await?;
            caller.must(output.owner_id == caller.id || caller.is_editor())?;
            output.must_be(&[OutputStatus::Draft])?;
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
            let output = Held::find(&mut transaction, *id).await?;
            caller.must(caller.is_editor())?;
            output.must_be(&[OutputStatus::Submitted, OutputStatus::Pending])?;
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
    let output = shown(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(output)
}

#[derive(Debug, FromRow)]
struct Caller {
    id: i64,
    role: UserRole,
}

/// What decides about an output.
#[derive(Debug, FromRow)]
struct Held {
    owner_id: i64,
    status: OutputStatus,
}

impl Caller {
    async fn find(connection: &mut PgConnection, email: &str) -> Result<Self, Refusal> {
        let find =
            sqlx::query_as("select id, role from users where email = $1 and is_active").bind(email);
        find.fetch_optional(connection)
            .await?
            .ok_or_else(|| Refusal::Unknown(email.to_owned()))
    }

    fn is_editor(&self) -> bool {
        match self.role {
            UserRole::Writer => false,
            UserRole::Editor | UserRole::Admin => true,
        }
    }

    fn must(&self, be_allowed: bool) -> Result<(), Refusal> {
        if be_allowed {
            Ok(())
        } else {
            Err(Refusal::Forbidden { role: self.role })
        }
    }
}

impl Held {
    /// The output, which nobody else changes until the transaction ends.
    async fn find(connection: &mut PgConnection, id: i64) -> Result<Self, Refusal> {
        let find = sqlx::query_as("select owner_id, status from outputs where id = $1 for update")
            .bind(id);
        find.fetch_optional(connection)
            .await?
            .ok_or(Refusal::NotFound(id))
    }

    fn must_be(&self, statuses: &[OutputStatus]) -> Result<(), Refusal> {
        if statuses.contains(&self.status) {
            Ok(())
        } else {
            Err(Refusal::Conflict {
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

async fn shown(connection: &mut PgConnection, id: i64) -> Result<Output, sqlx::Error> {
    sqlx::query_as(
        "select outputs.id, users.email as owner, kind, status, title, content, amount_awarded::text as amount_awarded \
         from outputs join users on users.id = outputs.owner_id where outputs.id = $1",
    )
    .bind(id)
    .fetch_one(connection)
    .await
}
