//! The connection, from the environment.

use std::collections::BTreeMap;
use std::time::Duration;

use ebbtide_example_techstore::{DatabaseUrl, Error, PoolSettings, Settings};
use percent_encoding::percent_decode_str;
use url::Url;

const SHOP: [(&str, &str); 3] = [
    ("POSTGRES_USER", "shop"),
    ("POSTGRES_PASSWORD", "s3cret"),
    ("POSTGRES_DB", "techstore"),
];

/// What is read with these variables and no others.
fn read(variables: &[(&str, &str)]) -> Result<Settings, Error> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Settings::read(|name| variables.get(name).map(|value| (*value).to_owned()))
}

fn with(more: &[(&'static str, &'static str)]) -> Result<Settings, Error> {
    read(&[&SHOP, more].concat())
}

#[test]
fn the_url_is_assembled_from_its_parts() {
    let settings = with(&[]).unwrap();
    assert_eq!(
        settings.database.as_str(),
        "postgres://shop:s3cret@localhost:5432/techstore"
    );
    let settings = with(&[("POSTGRES_SERVER", "db.example"), ("POSTGRES_PORT", "6543")]).unwrap();
    assert_eq!(
        settings.database.as_str(),
        "postgres://shop:s3cret@db.example:6543/techstore"
    );
    let settings = with(&[("POSTGRES_SERVER", "::1")]).unwrap();
    assert_eq!(
        settings.database.as_str(),
        "postgres://shop:s3cret@[::1]:5432/techstore"
    );
}

#[test]
fn a_socket_is_a_server_too() {
    let settings = with(&[
        ("POSTGRES_SERVER", "/run/postgresql"),
        ("POSTGRES_PORT", "5433"),
    ])
    .unwrap();
    let options = settings.database.options().unwrap();
    assert_eq!(
        options.get_socket().unwrap().to_str(),
        Some("/run/postgresql")
    );
    assert_eq!(
        (options.get_port(), options.get_database()),
        (5433, Some("techstore"))
    );
}

#[test]
fn parts_may_have_any_characters() {
    let strange = "p@ss:w/rd?#%41[é] +&=";
    let url =
        DatabaseUrl::assemble("sh op@", Some(strange), "localhost", 5432, "tech/störe").unwrap();
    let options = url.options().unwrap();
    assert_eq!(
        (options.get_username(), options.get_host()),
        ("sh op@", "localhost")
    );
    assert_eq!(
        (options.get_database(), url.name().as_str()),
        (Some("tech/störe"), "tech/störe")
    );
    // The driver does not tell the password that it has understood.
    let parsed = Url::parse(url.as_str()).unwrap();
    assert_eq!(
        percent_decode_str(parsed.password().unwrap())
            .decode_utf8()
            .unwrap(),
        strange
    );
}

#[test]
fn a_whole_url_beats_the_parts() {
    let settings = with(&[("DATABASE_URL", "postgres://other@elsewhere/shop")]).unwrap();
    assert_eq!(
        settings.database.as_str(),
        "postgres://other@elsewhere/shop"
    );
    assert_eq!(
        settings.test_database.as_str(),
        "postgres://other@elsewhere/test_shop"
    );
}

#[test]
fn the_test_database_is_another_one() {
    assert_eq!(
        with(&[]).unwrap().test_database.as_str(),
        "postgres://shop:s3cret@localhost:5432/test_techstore"
    );
    let given = with(&[("TEST_DATABASE_URL", "postgres://tester@localhost/trial")]).unwrap();
    assert_eq!(
        given.test_database.as_str(),
        "postgres://tester@localhost/trial"
    );
    // The same one by another role, and without the port.
    let same = with(&[("TEST_DATABASE_URL", "postgres://tester@localhost/techstore")]).unwrap_err();
    assert_eq!(
        same.to_string(),
        "TEST_DATABASE_URL names the shop's own database, techstore"
    );
}

#[test]
fn the_pool_has_five_connections_ten_more_and_thirty_seconds() {
    let pool = with(&[]).unwrap().pool;
    assert_eq!(
        pool,
        PoolSettings {
            size: 5,
            overflow: 10,
            timeout: Duration::from_secs(30)
        }
    );
    let options = pool.options();
    assert_eq!(
        (options.get_min_connections(), options.get_max_connections()),
        (5, 15)
    );
    assert_eq!(options.get_acquire_timeout(), Duration::from_secs(30));
    assert!(options.get_test_before_acquire(), "the pre-ping");
    let more = [
        ("POSTGRES_POOL_SIZE", "2"),
        ("POSTGRES_MAX_OVERFLOW", "1"),
        ("POSTGRES_POOL_TIMEOUT", "4"),
    ];
    let wanted = PoolSettings {
        size: 2,
        overflow: 1,
        timeout: Duration::from_secs(4),
    };
    assert_eq!(with(&more).unwrap().pool, wanted);
}

#[test]
fn what_is_missing_or_means_nothing_is_named() {
    let said = |settings: Result<Settings, Error>| settings.unwrap_err().to_string();
    assert_eq!(said(read(&[])), "POSTGRES_USER is not set");
    assert_eq!(
        said(read(&[("POSTGRES_USER", "shop")])),
        "POSTGRES_DB is not set"
    );
    assert_eq!(
        said(with(&[("POSTGRES_PORT", "many")])),
        "POSTGRES_PORT=\"many\" is not a port"
    );
    assert_eq!(
        said(with(&[("POSTGRES_POOL_SIZE", "0")])),
        "POSTGRES_POOL_SIZE=\"0\" is not a number from 1"
    );
    let server = said(with(&[("POSTGRES_SERVER", "a server")]));
    assert!(
        server.starts_with("POSTGRES_SERVER=\"a server\" is not "),
        "{server}"
    );
    let url = said(with(&[("DATABASE_URL", "mysql://localhost/shop")]));
    assert!(
        url.starts_with("DATABASE_URL=\"mysql://localhost/shop\" is not a URL such as "),
        "{url}"
    );
}

#[test]
fn passwords_are_not_printed() {
    let printed = format!("{:?}", with(&[]).unwrap());
    assert!(
        printed.contains("techstore on localhost") && !printed.contains("s3cret"),
        "{printed}"
    );
}
