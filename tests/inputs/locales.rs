//! The locale and the encoding of a test's database.

use ebbtide::ErrorKind;
use ebbtide::config::{Builder, LocaleProvider};

use crate::support::Scratch;
use crate::support::pool_sql;
use crate::support::reports::{assert_report_contains, provision_error};
use crate::support::sql::{number, text};

const WORDS: &str = "create table words (word text);
    insert into words values ('zebra'), ('Álamo'), ('apple'), ('Zoo'), ('äpfel');\n";
const SORTED: &str = "select string_agg(word, ' ' order by word) from words";

/// A builder with a table of words, and a scratch directory that must outlive it.
fn words() -> (Scratch, Builder) {
    let scratch = Scratch::new();
    scratch.write("migrations/1_words.sql", WORDS);
    let builder = scratch.builder();
    (scratch, builder)
}

/// The version of the server that runs the tests, and whether it is built with ICU.
async fn version_and_icu() -> (i64, bool) {
    let (_scratch, builder) = words();
    let mut tx = builder.build().unwrap().tx().await.unwrap();
    let version = "select current_setting('server_version_num')::int8";
    // Every server has `unicode` from version 16 on.
    let languages = "select count(*) from pg_collation where collprovider = 'i' \
                     and collname <> 'unicode'";
    let version = number(&mut tx, version).await;
    (version, number(&mut tx, languages).await > 0)
}

#[tokio::test]
async fn texts_are_sorted_by_the_locale_of_the_plan() {
    let (version, has_icu) = version_and_icu().await;
    let c = "Zoo apple zebra Álamo äpfel";
    let of_language = "Álamo äpfel apple zebra Zoo";
    let cases = [
        (0, LocaleProvider::Libc, "C", c),
        (150_000, LocaleProvider::Icu, "es-ES", of_language),
        (150_000, LocaleProvider::Icu, "und", of_language),
        (170_000, LocaleProvider::Builtin, "C.UTF-8", c),
    ];
    for (first, provider, locale, sorted) in cases {
        let (_scratch, builder) = words();
        let harness = builder.locale(locale).locale_provider(provider);
        let harness = harness.build().unwrap();
        if version < first {
            let error = harness
                .tx()
                .await
                .expect_err("the version lacks the provider");
            let report = format!("requires PostgreSQL {}", first / 10_000);
            assert_report_contains(&error, ErrorKind::Config, &[&report]);
            continue;
        }
        if provider == LocaleProvider::Icu && !has_icu {
            let error = harness.tx().await.expect_err("the server lacks ICU");
            assert_report_contains(&error, ErrorKind::Config, &["is built without ICU"]);
            continue;
        }
        let mut tx = harness.tx().await.unwrap();
        assert_eq!(text(&mut tx, SORTED).await, sorted, "{provider} {locale}");
        tx.close().await.unwrap();
        // A whole database is a copy, too.
        let database = harness.database().await.unwrap();
        let found = pool_sql::text(&database.pool(), SORTED).await;
        assert_eq!(found, sorted, "{provider} {locale}");
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_fixture_and_a_file_have_the_encoding_of_the_plan() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_words.sql", WORDS);
    let toml = "[provision]\nlocale = \"C\"\nencoding = \"LATIN1\"\n";
    scratch.write("ebbtide.toml", toml);
    scratch.write("seeds/words.csv", "word\nñandú\n");
    scratch.write("seeds/words.json", "[{\"word\": \"señor\"}]");
    let setup = ebbtide::Setup::new().fixture("more.sql", "insert into words values ('é')");
    let harness = scratch.builder().build().unwrap().with_setup(setup);
    let mut tx = harness.tx().await.unwrap();
    let encoding = "select pg_encoding_to_char(encoding)::text from pg_database \
                    where datname = current_database()";
    assert_eq!(text(&mut tx, encoding).await, "LATIN1");
    // One byte for each character.
    let bytes = "select sum(octet_length(word)) from words where word in ('ñandú', 'señor', 'é')";
    assert_eq!(number(&mut tx, bytes).await, 11);
}

/// Locale, encoding and provider, and texts of the report.
type RefusedLocale = (
    Option<&'static str>,
    Option<&'static str>,
    LocaleProvider,
    &'static [&'static str],
);

#[tokio::test]
async fn a_locale_that_the_server_does_not_have_is_refused_with_those_that_it_has() {
    let (version, has_icu) = version_and_icu().await;
    let libc = LocaleProvider::Libc;
    let mut cases: Vec<RefusedLocale> = vec![
        (
            Some("xx_XX.UTF-8"),
            None,
            libc,
            &[
                "cannot create a database with the locale \"xx_XX.UTF-8\" of libc (builder)",
                "locales of libc on the server's machine",
                " C",
                "locale-gen",
            ],
        ),
        (
            Some("C"),
            Some("KLINGON"),
            libc,
            &["the encoding \"KLINGON\" (builder)", "LATIN1"],
        ),
        (
            None,
            None,
            LocaleProvider::Icu,
            &["locale_provider icu (builder) needs a locale"],
        ),
    ];
    if version >= 150_000 && has_icu {
        let reports = &[
            "does not have \"klingon\"",
            "ICU's languages",
            "for example \"es\"",
        ];
        cases.push((Some("klingon-XX"), None, LocaleProvider::Icu, reports));
    }
    for (locale, encoding, provider, reports) in cases {
        let (_scratch, mut builder) = words();
        if let Some(locale) = locale {
            builder = builder.locale(locale);
        }
        if let Some(encoding) = encoding {
            builder = builder.encoding(encoding);
        }
        let error = provision_error(builder.locale_provider(provider)).await;
        assert_report_contains(&error, ErrorKind::Config, reports);
    }
}

#[tokio::test]
async fn an_encoding_that_does_not_fit_the_locale_is_refused_with_the_remedy() {
    let (_scratch, builder) = words();
    let mut tx = builder.clone().build().unwrap().tx().await.unwrap();
    let locale = "select datctype::text from pg_database where datname = 'template0'";
    let locale = text(&mut tx, locale).await;
    tx.close().await.unwrap();
    // C fits every encoding.
    if !["C", "POSIX"].contains(&&*locale) {
        let error = provision_error(builder.encoding("LATIN1")).await;
        assert_report_contains(&error, ErrorKind::Config, &["`locale` to \"C\""]);
    }
}
