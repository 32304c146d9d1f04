//! The settings, from environment variables.

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

/// The settings with these variables and no others.
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
fn a_socket_directory_is_a_valid_server() {
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
    let password = "p@ss:w/rd?#%41[é] +&=";
    let url =
        DatabaseUrl::assemble("sh op@", Some(password), "localhost", 5432, "tech/störe").unwrap();
    let options = url.options().unwrap();
    assert_eq!(
        (options.get_username(), options.get_host()),
        ("sh op@", "localhost")
    );
    assert_eq!(
        (options.get_database(), url.name().as_str()),
        (Some("tech/störe"), "tech/störe")
    );
    // The driver has no accessor for the password, so the test parses the URL.
    let parsed = Url::parse(url.as_str()).unwrap();
    assert_eq!(
        percent_decode_str(parsed.password().unwrap())
            .decode_utf8()
            .unwrap(),
        password
    );
}

#[test]
fn a_whole_url_overrides_the_parts() {
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
fn the_tests_have_another_database_than_the_shop() {
    assert_eq!(
        with(&[]).unwrap().test_database.as_str(),
        "postgres://shop:s3cret@localhost:5432/test_techstore"
    );
    let explicit = with(&[("TEST_DATABASE_URL", "postgres://tester@localhost/trial")]).unwrap();
    assert_eq!(
        explicit.test_database.as_str(),
        "postgres://tester@localhost/trial"
    );
    // The same database, with another role and without the port.
    let same = with(&[("TEST_DATABASE_URL", "postgres://tester@localhost/techstore")]).unwrap_err();
    assert_eq!(
        same.to_string(),
        "TEST_DATABASE_URL must name another database than the shop's, but both are techstore"
    );
}

#[test]
fn the_pool_has_five_connections_ten_additional_ones_and_a_timeout_of_thirty_seconds() {
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
    let expected = PoolSettings {
        size: 2,
        overflow: 1,
        timeout: Duration::from_secs(4),
    };
    assert_eq!(with(&more).unwrap().pool, expected);
}

#[test]
fn missing_and_invalid_variables_are_named() {
    let message = |settings: Result<Settings, Error>| settings.unwrap_err().to_string();
    assert_eq!(
        message(read(&[])),
        "the environment variable POSTGRES_USER must be set"
    );
    assert_eq!(
        message(read(&[("POSTGRES_USER", "shop")])),
        "the environment variable POSTGRES_DB must be set"
    );
    assert_eq!(
        message(with(&[("POSTGRES_PORT", "many")])),
        "POSTGRES_PORT must be a port number, but is \"many\""
    );
    assert_eq!(
        message(with(&[("POSTGRES_POOL_SIZE", "0")])),
        "POSTGRES_POOL_SIZE must be a whole number of at least 1, but is \"0\""
    );
    let server = message(with(&[("POSTGRES_SERVER", "a server")]));
    assert!(
        server.starts_with("POSTGRES_SERVER must be ") && server.ends_with(", but is \"a server\""),
        "{server}"
    );
    let url = message(with(&[("DATABASE_URL", "mysql://localhost/shop")]));
    assert!(
        url.starts_with("DATABASE_URL must be a URL such as ")
            && url.ends_with(", but is \"mysql://localhost/shop\""),
        "{url}"
    );
}

#[test]
fn debug_output_omits_passwords() {
    let printed = format!("{:?}", with(&[]).unwrap());
    assert!(
        printed.contains("techstore on localhost") && !printed.contains("s3cret"),
        "{printed}"
    );
}
