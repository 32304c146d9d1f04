//! Backend and URL: which go together, and which variable may choose.

use std::path::Path;

use super::super::{Backend, Builder, Source};
use super::{ErrorKind, Package, refused_builder, refused_file, refused_variables, told};

const TEST_URL: (&str, &str) = ("TEST_DATABASE_URL", "postgres://test");
const NO_URL: &str = "set EBBTIDE_URL or TEST_DATABASE_URL, or url below [server] in ebbtide.toml; DATABASE_URL is never read";

/// The backend, and the URL with its source.
fn chosen(
    builder: &Builder,
    file: &str,
    variables: &[(&str, &str)],
) -> (Backend, Option<String>, Source) {
    let plan = Package::with_file(file)
        .plan(builder, variables)
        .expect("legal");
    (
        *plan.backend,
        plan.url.as_ref().map(ToString::to_string),
        plan.url.source.clone(),
    )
}

#[test]
fn the_external_backend_without_a_url_is_refused() {
    let error = refused_variables(&[("EBBTIDE_BACKEND", "external")]);
    assert_eq!(
        told(&error),
        (
            ErrorKind::Config,
            "backend external (EBBTIDE_BACKEND) has no url".into(),
            NO_URL
        )
    );
    let error = refused_file("[server]\nbackend = 'external'");
    assert_eq!(
        told(&error),
        (
            ErrorKind::Config,
            "backend external (ebbtide.toml:2) has no url".into(),
            NO_URL
        )
    );
    let error = refused_builder(&Builder::new().backend(Backend::External));
    assert_eq!(
        told(&error),
        (
            ErrorKind::Config,
            "backend external (builder) has no url".into(),
            NO_URL
        )
    );
}

#[test]
fn a_url_makes_auto_external_wherever_it_stands() {
    let builder = Builder::new().url("postgres://b");
    assert_eq!(
        chosen(&builder, "", &[]),
        (
            Backend::External,
            Some("postgres://b".into()),
            Source::Builder
        )
    );
    let file = Source::File {
        path: "ebbtide.toml".into(),
        line: 2,
    };
    let text = "[server]\nurl = 'postgres://f'\nbackend = 'auto'";
    assert_eq!(
        chosen(&Builder::new(), text, &[]),
        (Backend::External, Some("postgres://f".into()), file)
    );
    let variable = [("EBBTIDE_URL", "postgresql://v")];
    let expected = (
        Backend::External,
        Some("postgresql://v".into()),
        Source::Variable("EBBTIDE_URL"),
    );
    assert_eq!(
        chosen(&builder.backend(Backend::Auto), text, &variable),
        expected
    );
}

#[test]
fn a_url_beside_another_backend_is_kept_and_not_used() {
    let variables = [("EBBTIDE_BACKEND", "native")];
    let (backend, url, _) = chosen(
        &Builder::new(),
        "[server]\nurl = 'postgres://f'",
        &variables,
    );
    assert_eq!(
        (backend, url),
        (Backend::Native, Some("postgres://f".into()))
    );
}

#[test]
fn test_database_url_never_chooses_the_backend() {
    for backend in [Backend::Auto, Backend::Native, Backend::Container] {
        let expected = (backend, None, Source::Default);
        assert_eq!(
            chosen(&Builder::new().backend(backend), "", &[TEST_URL]),
            expected
        );
    }
    // Not even an illegal one is looked at.
    assert_eq!(
        chosen(&Builder::new(), "", &[("TEST_DATABASE_URL", "mysql://x")]).0,
        Backend::Auto
    );
}

#[test]
fn test_database_url_serves_the_external_backend_below_ebbtide_url_and_above_builder_and_file() {
    let external = Builder::new().backend(Backend::External);
    let file = "[server]\nurl = 'postgres://f'";
    let expected = (
        Backend::External,
        Some("postgres://test".into()),
        Source::Variable("TEST_DATABASE_URL"),
    );
    assert_eq!(chosen(&external, "", &[TEST_URL]), expected);
    assert_eq!(chosen(&external, file, &[TEST_URL]), expected);
    assert_eq!(
        chosen(&external.clone().url("postgres://b"), file, &[TEST_URL]),
        expected
    );
    let ours = ("EBBTIDE_URL", "postgres://v");
    let expected = (
        Backend::External,
        Some("postgres://v".into()),
        Source::Variable("EBBTIDE_URL"),
    );
    assert_eq!(chosen(&external, file, &[TEST_URL, ours]), expected);
}

#[test]
fn test_database_url_may_stand_in_dot_env_and_database_url_may_not() {
    let package = Package::new();
    let text = "DATABASE_URL=postgres://loved\nTEST_DATABASE_URL=postgres://test\n";
    let environment = package.environment(&[("DATABASE_URL", "postgres://loved")]);
    let environment = environment
        .with_dot_env(Path::new(".env"), text)
        .expect("legal");
    let plan = Builder::new()
        .backend(Backend::External)
        .plan(&environment)
        .expect("legal");
    assert_eq!(plan.url.source, Source::DotEnv("TEST_DATABASE_URL"));
    let environment = package.environment(&[("DATABASE_URL", "postgres://loved")]);
    let error = Builder::new()
        .backend(Backend::External)
        .plan(&environment)
        .expect_err("no url");
    assert_eq!(error.to_string(), "backend external (builder) has no url");
}

#[test]
fn an_illegal_test_database_url_is_named() {
    let error = refused_variables(&[
        ("EBBTIDE_BACKEND", "external"),
        ("TEST_DATABASE_URL", "mysql://u:p@h/d"),
    ]);
    let expected = r#"TEST_DATABASE_URL="mysql://u:***@h/d" is not the URL of a PostgreSQL server, such as postgres://user@localhost:5432/postgres"#;
    assert_eq!(error.to_string(), expected);
}
