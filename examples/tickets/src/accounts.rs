//! Registration and login.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use ebbtide_example_shared::ErrorResponse;
use serde::{Deserialize, Serialize};

use crate::App;

/// The minimum length of a password, in characters.
const MIN_PASSWORD_LENGTH: usize = 12;

/// The body of `POST /api/v1/auth/register`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registration {
    /// The email address. It is unique, independently of its case.
    pub email: String,
    /// The password, with at least twelve characters.
    pub password: String,
    /// The organization's name. It is created if it does not exist.
    pub organization: String,
}

/// The body of `POST /api/v1/auth/login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The registered email address, in any case.
    pub email: String,
    /// The registered password.
    pub password: String,
}

/// The response to both requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Account {
    /// The user's id.
    pub id: i64,
    /// The email address as registered.
    pub email: String,
    /// The name of the user's organization.
    pub organization: String,
}

pub(crate) async fn register(
    State(app): State<App>,
    body: Result<Json<Registration>, JsonRejection>,
) -> Result<(StatusCode, Json<Account>), ErrorResponse> {
    let Json(registration) = body?;
    check(&registration)?;
    // This check avoids the cost of the hash. Of two concurrent registrations, the unique index
    // rejects one at the insert below.
    let exists = "select exists (select from users where lower(email) = lower($1))";
    if sqlx::query_scalar(exists)
        .bind(&registration.email)
        .fetch_one(&app.pool)
        .await?
    {
        return Err(already_registered());
    }
    let hash = app.passwords.hash(registration.password).await?;
    let mut transaction = app.pool.begin().await?;
    // "do update" and not "do nothing", because only the former returns the id of an existing row.
    let organization = "insert into organizations (name) values ($1)
                        on conflict (name) do update set name = excluded.name returning id";
    let organization_id: i64 = sqlx::query_scalar(organization)
        .bind(&registration.organization)
        .fetch_one(&mut *transaction)
        .await?;
    let user = "insert into users (organization_id, email, password_hash) values ($1, $2, $3) returning id";
    let inserted = sqlx::query_scalar(user)
        .bind(organization_id)
        .bind(&registration.email)
        .bind(hash)
        .fetch_one(&mut *transaction)
        .await;
    let id = match inserted {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(already_registered());
        }
        inserted => inserted?,
    };
    transaction.commit().await?;
    Ok((
        StatusCode::CREATED,
        Json(Account {
            id,
            email: registration.email,
            organization: registration.organization,
        }),
    ))
}

pub(crate) async fn login(
    State(app): State<App>,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Result<Json<Account>, ErrorResponse> {
    #[derive(sqlx::FromRow)]
    struct Found {
        #[sqlx(flatten)]
        account: Account,
        password_hash: String,
    }

    let Json(credentials) = body?;
    let user =
        "select users.id, users.email, organizations.name as organization, users.password_hash
                from users join organizations on organizations.id = users.organization_id
                where lower(users.email) = lower($1)";
    let found: Option<Found> = sqlx::query_as(user)
        .bind(&credentials.email)
        .fetch_optional(&app.pool)
        .await?;
    let (hash, account) = found
        .map(|found| (found.password_hash, found.account))
        .unzip();
    let matches = app.passwords.verify(credentials.password, hash).await?;
    // The same response for a wrong address and a wrong password, because a difference would reveal
    // which addresses have an account.
    let unauthorized =
        || ErrorResponse::new(StatusCode::UNAUTHORIZED, "wrong email address or password");
    account
        .filter(|_| matches)
        .map(Json)
        .ok_or_else(unauthorized)
}

fn already_registered() -> ErrorResponse {
    ErrorResponse::new(
        StatusCode::CONFLICT,
        "an account with this email address already exists",
    )
}

fn check(registration: &Registration) -> Result<(), ErrorResponse> {
    let reject = |error| Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, error));
    if !registration
        .email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
    {
        return reject("email: must be an address such as name@example.com".to_owned());
    }
    if registration.password.chars().count() < MIN_PASSWORD_LENGTH {
        return reject(format!(
            "password: must have at least {MIN_PASSWORD_LENGTH} characters"
        ));
    }
    if registration.organization.trim().is_empty() {
        return reject("organization: must not be empty".to_owned());
    }
    Ok(())
}
