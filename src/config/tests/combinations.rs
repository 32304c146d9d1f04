//! Backend and URL: which combinations are legal, and which variables select the backend.

use std::path::Path;

use super::super::{Auto, Backend, Builder, Container, External, Native, Source, Sourced};
use super::{
    ErrorKind, Package, kind_message_help, refused_builder, refused_file, refused_variables,
};

const TEST_URL: (&str, &str) = ("TEST_DATABASE_URL", "postgres://test");
const NO_URL_HELP: &str = "set EBBTIDE_URL or TEST_DATABASE_URL, or url below [server] in \
                           ebbtide.toml; DATABASE_URL is never read";

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
        kind_message_help(&error),
        (
            ErrorKind::Config,
            "the external backend needs a URL, but none is set (backend: EBBTIDE_BACKEND)".into(),
            NO_URL_HELP
        )
    );
    let error = refused_file("[server]\nbackend = 'external'");
    assert_eq!(
        kind_message_help(&error),
        (
            ErrorKind::Config,
            "the external backend needs a URL, but none is set (backend: ebbtide.toml:2)".into(),
            NO_URL_HELP
        )
    );
    let error = refused_builder(&Builder::new().backend(Backend::External));
    assert_eq!(
        kind_message_help(&error),
        (
            ErrorKind::Config,
            "the external backend needs a URL, but none is set (backend: builder)".into(),
            NO_URL_HELP
        )
    );
}

#[test]
fn a_url_from_any_source_makes_the_backend_auto_external() {
    let builder = Builder::new().backend(External::new().url("postgres://b"));
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
        plan: None,
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
        chosen(&Builder::new().backend(Backend::Auto), text, &variable),
        expected
    );
    assert_eq!(chosen(&builder, text, &variable), expected);
    // The variable `auto` does not hide a URL either.
    let (backend, url, source) = chosen(&builder, "", &[("EBBTIDE_BACKEND", "auto")]);
    assert_eq!(
        (backend, url.as_deref(), source),
        (Backend::External, Some("postgres://b"), Source::Builder)
    );
}

#[test]
fn a_url_with_another_backend_is_in_the_plan_and_does_not_change_the_backend() {
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
fn test_database_url_never_selects_the_backend() {
    for backend in [Backend::Auto, Backend::Native, Backend::Container] {
        let expected = (backend, None, Source::Default);
        assert_eq!(
            chosen(&Builder::new().backend(backend), "", &[TEST_URL]),
            expected
        );
    }
    // Without the external backend, even an illegal value is ignored.
    assert_eq!(
        chosen(&Builder::new(), "", &[("TEST_DATABASE_URL", "mysql://x")]).0,
        Backend::Auto
    );
}

#[test]
fn test_database_url_overrides_builder_and_file_and_ebbtide_url_overrides_it() {
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
        chosen(
            &Builder::new().backend(External::new().url("postgres://b")),
            file,
            &[TEST_URL]
        ),
        expected
    );
    let ebbtide_url = ("EBBTIDE_URL", "postgres://v");
    let expected = (
        Backend::External,
        Some("postgres://v".into()),
        Source::Variable("EBBTIDE_URL"),
    );
    assert_eq!(chosen(&external, file, &[TEST_URL, ebbtide_url]), expected);
}

#[test]
fn test_database_url_is_read_from_dot_env_and_database_url_is_never_read() {
    let package = Package::new();
    let text = "DATABASE_URL=postgres://loved\nTEST_DATABASE_URL=postgres://test\n";
    let environment = package.environment(&[("DATABASE_URL", "postgres://loved")]);
    let environment = environment
        .with_dot_env(Path::new(".env"), text)
        .expect("legal");
    let plan = Builder::new()
        .backend(Backend::External)
        .resolve(&environment)
        .expect("legal");
    assert_eq!(plan.url.source, Source::DotEnv("TEST_DATABASE_URL"));
    let environment = package.environment(&[("DATABASE_URL", "postgres://loved")]);
    let error = Builder::new()
        .backend(Backend::External)
        .resolve(&environment)
        .expect_err("no url");
    assert_eq!(
        error.to_string(),
        "the external backend needs a URL, but none is set (backend: builder)"
    );
}

#[test]
fn the_error_of_an_illegal_test_database_url_names_the_variable() {
    let error = refused_variables(&[
        ("EBBTIDE_BACKEND", "external"),
        ("TEST_DATABASE_URL", "mysql://u:p@h/d"),
    ]);
    let message = "TEST_DATABASE_URL must be the URL of a PostgreSQL server, \
                   but is \"mysql://u:***@h/d\"";
    let help = "for example TEST_DATABASE_URL=postgres://user@localhost:5432/postgres";
    assert_eq!(
        kind_message_help(&error),
        (ErrorKind::Config, message.into(), help)
    );
}

#[test]
fn a_second_call_replaces_the_backend_and_its_options() {
    let builder = Builder::new()
        .backend(Container::new().image("a"))
        .backend(Native::new().bin("/b"));
    let plan = Package::new().plan(&builder, &[]).expect("legal");
    assert_eq!(*plan.backend, Backend::Native);
    assert_eq!((plan.image.as_deref(), plan.bin.is_some()), (None, true));
}

#[test]
fn a_variable_overrides_the_backend_and_each_option_by_itself() {
    let builder = Builder::new().backend(Auto::new().image("a").bin("/b"));
    let variables = [("EBBTIDE_BACKEND", "container"), ("EBBTIDE_PG_BIN", "/v")];
    let plan = Package::with_file("[server]\nimage = 'f'\ncache = 'never'")
        .plan(&builder, &variables)
        .expect("legal");
    let origins = ["backend", "image", "cache", "bin"].map(|key| {
        let Sourced { value, source } = plan.get(key).expect("a key");
        format!("{value} ({source})")
    });
    assert_eq!(
        origins,
        [
            "container (EBBTIDE_BACKEND)",
            "a (builder)",
            "never (ebbtide.toml:3)",
            "/v (EBBTIDE_PG_BIN)",
        ]
    );
}
