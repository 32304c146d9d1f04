//! Registration and login on a `Sandbox`: the handlers commit, and yet the next test sees no user.

use std::net::{Ipv4Addr, SocketAddr};

use axum::http::StatusCode;
use ebbtide::Sandbox;
use ebbtide_example_shared::start;
use ebbtide_example_shared::testing::post;
use serde_json::{Value, json};

use super::Outcome;
use super::app::{LOGIN, REGISTER, app, laura};

#[ebbtide::test]
async fn a_user_registers_and_logs_in(sandbox: Sandbox) -> Outcome {
    let app = app(sandbox.clone());
    let account = json!({"id": 1, "email": "laura@example.com", "organization": "Harbour Office"});
    assert_eq!(
        post(&app, REGISTER, &laura()).await,
        (StatusCode::CREATED, account.clone())
    );
    let credentials = json!({"email": "LAURA@example.com", "password": "correct horse battery"});
    assert_eq!(
        post(&app, LOGIN, &credentials).await,
        (StatusCode::OK, account)
    );
    let organizations: i64 = sqlx::query_scalar("select count(*) from organizations")
        .fetch_one(&*sandbox)
        .await?;
    assert_eq!(
        organizations, 2,
        "the user joined an organization of the seeds"
    );
    Ok(())
}

#[ebbtide::test]
async fn an_organization_that_does_not_exist_is_created(sandbox: Sandbox) -> Outcome {
    let app = app(sandbox.clone());
    let mut registration = laura();
    registration["organization"] = "Lighthouse".into();
    assert_eq!(
        post(&app, REGISTER, &registration).await.0,
        StatusCode::CREATED
    );
    let members = "select count(*) from users join organizations on organizations.id = organization_id where name = $1";
    let members: i64 = sqlx::query_scalar(members)
        .bind("Lighthouse")
        .fetch_one(&*sandbox)
        .await?;
    assert_eq!(members, 1);
    Ok(())
}

// In any order with the tests above: every test begins with the seeds' rows and ids.
#[ebbtide::test]
async fn the_next_test_does_not_see_the_user(sandbox: Sandbox) -> Outcome {
    let users: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&*sandbox)
        .await?;
    assert_eq!(users, 0);
    let (status, account) = post(&app(sandbox.clone()), REGISTER, &laura()).await;
    assert_eq!((status, &account["id"]), (StatusCode::CREATED, &json!(1)));
    Ok(())
}

#[ebbtide::test]
async fn a_duplicate_registration_is_a_conflict(sandbox: Sandbox) -> Outcome {
    let app = app(sandbox.clone());
    assert_eq!(post(&app, REGISTER, &laura()).await.0, StatusCode::CREATED);
    let conflict = (
        StatusCode::CONFLICT,
        json!({"error": "an account with this email address already exists"}),
    );
    assert_eq!(post(&app, REGISTER, &laura()).await, conflict);
    let mut in_capitals = laura();
    in_capitals["email"] = "LAURA@EXAMPLE.COM".into();
    assert_eq!(post(&app, REGISTER, &in_capitals).await, conflict);
    let users: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&*sandbox)
        .await?;
    assert_eq!(users, 1);
    Ok(())
}

// Concurrent connections need a `Database`, because a `Sandbox` has only one.
#[ebbtide::test]
async fn one_of_several_concurrent_registrations_succeeds(database: ebbtide::Database) -> Outcome {
    let app = app(database.pool());
    let registration = laura();
    let (a, b, c, d) = tokio::join!(
        post(&app, REGISTER, &registration),
        post(&app, REGISTER, &registration),
        post(&app, REGISTER, &registration),
        post(&app, REGISTER, &registration),
    );
    let mut statuses = [a.0, b.0, c.0, d.0];
    statuses.sort();
    assert_eq!(
        statuses,
        [
            StatusCode::CREATED,
            StatusCode::CONFLICT,
            StatusCode::CONFLICT,
            StatusCode::CONFLICT
        ]
    );
    Ok(())
}

#[ebbtide::test]
async fn a_wrong_password_is_unauthorized(sandbox: Sandbox) {
    let app = app(sandbox.clone());
    assert_eq!(post(&app, REGISTER, &laura()).await.0, StatusCode::CREATED);
    let unauthorized = (
        StatusCode::UNAUTHORIZED,
        json!({"error": "wrong email address or password"}),
    );
    let wrong = json!({"email": "laura@example.com", "password": "correct horse batteries"});
    assert_eq!(post(&app, LOGIN, &wrong).await, unauthorized);
    // The response does not reveal whether an address is registered. This is the password of the
    // dummy hash.
    let unknown = json!({"email": "unknown@example.com", "password": "dummy password"});
    assert_eq!(post(&app, LOGIN, &unknown).await, unauthorized);
}

#[ebbtide::test]
async fn invalid_input_is_unprocessable(sandbox: Sandbox) -> Outcome {
    let app = app(sandbox.clone());
    let with = |field: &str, value: Value| {
        let mut registration = laura();
        registration[field] = value;
        registration
    };
    for (invalid, field) in [
        (with("email", "laura".into()), "email"),
        (with("email", "@example.com".into()), "email"),
        (with("password", "short".into()), "password"),
        (with("organization", " ".into()), "organization"),
        (with("password", 7.into()), "password"),
        (
            json!({"email": "laura@example.com", "password": "correct horse battery"}),
            "organization",
        ),
    ] {
        let (status, body) = post(&app, REGISTER, &invalid).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{invalid}: {body}"
        );
        assert!(
            body["error"].as_str().unwrap().contains(field),
            "{invalid}: {body}"
        );
    }
    assert_eq!(
        post(&app, LOGIN, &json!({"email": "laura@example.com"}))
            .await
            .0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let users: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&*sandbox)
        .await?;
    assert_eq!(users, 0);
    Ok(())
}

#[ebbtide::test]
async fn the_password_is_stored_as_an_argon2_hash(sandbox: Sandbox) -> Outcome {
    let app = app(sandbox.clone());
    post(&app, REGISTER, &laura()).await;
    let hash: String = sqlx::query_scalar("select password_hash from users")
        .fetch_one(&*sandbox)
        .await?;
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    Ok(())
}

#[ebbtide::test]
async fn a_user_registers_and_logs_in_over_a_real_port(sandbox: Sandbox) -> Outcome {
    let running = start(
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        app(sandbox.clone()),
    )
    .await?;
    // A proxy that the environment configures must not get these requests.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let post = async |path: &str| {
        client
            .post(format!("http://{}{path}", running.address()))
            .json(&laura())
            .send()
            .await
    };
    assert_eq!(post(REGISTER).await?.status(), 201);
    assert_eq!(post(REGISTER).await?.status(), 409);
    let account: Value = post(LOGIN).await?.error_for_status()?.json().await?;
    assert_eq!(account["email"], "laura@example.com");
    running.stop().await?;
    Ok(())
}
