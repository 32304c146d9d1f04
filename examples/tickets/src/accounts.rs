//! Registration and login.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use ebbtide_example_shared::Refusal;
use serde::{Deserialize, Serialize};

use crate::App;

/// The shortest password, in characters.
const SHORTEST_PASSWORD: usize = 12;

/// The body of `POST /api/v1/auth/register`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registration {
    /// Unique, whatever its case.
    pub email: String,
    /// At least twelve characters.
    pub password: String,
    /// Founded if there is none of this name.
    pub organization: String,
}

/// The body of `POST /api/v1/auth/login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// As registered.
    pub email: String,
    /// As registered.
    pub password: String,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Account {
    /// The user's.
    pub id: i64,
    /// As registered.
    pub email: String,
    /// The name of the user's organization.
    pub organization: String,
}

pub(crate) async fn register(
    State(app): State<App>,
    body: Result<Json<Registration>, JsonRejection>,
) -> Result<(StatusCode, Json<Account>), Refusal> {
    let Json(wanted) = body?;
    check(&wanted)?;
    // Before the hash is paid for. Two at the same time are told apart by the index below.
    let known = "select exists (select from users where lower(email) = lower($1))";
    if sqlx::query_scalar(known)
        .bind(&wanted.email)
        .fetch_one(&app.pool)
        .await?
    {
        return Err(registered_already());
    }
    let hash = app.passwords.hash(wanted.password).await?;
    let mut transaction = app.pool.begin().await?;
    // "do update" only to get the id of an organization that is there.
    let organization = "insert into organizations (name) values ($1)
                        on conflict (name) do update set name = excluded.name returning id";
    let organization_id: i64 = sqlx::query_scalar(organization)
        .bind(&wanted.organization)
        .fetch_one(&mut *transaction)
        .await?;
    let user = "insert into users (organization_id, email, password_hash) values ($1, $2, $3) returning id";
    let inserted = sqlx::query_scalar(user)
        .bind(organization_id)
        .bind(&wanted.email)
        .bind(hash)
        .fetch_one(&mut *transaction)
        .await;
    let id = match inserted {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(registered_already());
        }
        inserted => inserted?,
    };
    transaction.commit().await?;
    Ok((
        StatusCode::CREATED,
        Json(Account {
            id,
            email: wanted.email,
            organization: wanted.organization,
        }),
    ))
}

pub(crate) async fn login(
    State(app): State<App>,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Result<Json<Account>, Refusal> {
    #[derive(sqlx::FromRow)]
    struct Found {
        #[sqlx(flatten)]
        account: Account,
        password_hash: String,
    }

    let Json(given) = body?;
    let user =
        "select users.id, users.email, organizations.name as organization, users.password_hash
                from users join organizations on organizations.id = users.organization_id
                where lower(users.email) = lower($1)";
    let found: Option<Found> = sqlx::query_as(user)
        .bind(&given.email)
        .fetch_optional(&app.pool)
        .await?;
    let (hash, account) = found
        .map(|found| (found.password_hash, found.account))
        .unzip();
    let matches = app.passwords.verify(given.password, hash).await?;
    // The same answer whether address or password is wrong: it tells nobody who has an account.
    let refused = || Refusal::new(StatusCode::UNAUTHORIZED, "wrong address or password");
    account.filter(|_| matches).map(Json).ok_or_else(refused)
}

fn registered_already() -> Refusal {
    Refusal::new(StatusCode::CONFLICT, "this address is registered already")
}

fn check(wanted: &Registration) -> Result<(), Refusal> {
    let refuse = |error| Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error));
    if !wanted
        .email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
    {
        return refuse("email: this is no address".to_owned());
    }
    if wanted.password.chars().count() < SHORTEST_PASSWORD {
        return refuse(format!("password: at least {SHORTEST_PASSWORD} characters"));
    }
    if wanted.organization.trim().is_empty() {
        return refuse("organization: a name is needed".to_owned());
    }
    Ok(())
}
