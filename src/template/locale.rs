//! The locale and the encoding of a database that is built. They belong to the database and not to
//! its server: copies inherit them, and databases with different locales share a server.
//! <https://www.postgresql.org/docs/current/sql-createdatabase.html>

use sqlx::postgres::PgConnection;

use crate::config::{LocaleProvider, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Literal;
use crate::sql_error;

/// The end of `CREATE DATABASE` that gives the database the plan's locale and encoding. Empty for
/// those of the database that is copied.
///
/// # Errors
/// The server's version does not have the provider, or ICU does not know the locale.
pub(super) async fn clause(
    plan: &Plan,
    admin: &mut PgConnection,
    version_num: u32,
) -> Result<String> {
    let mut clause = String::new();
    if let Some(encoding) = plan.encoding.get() {
        clause = format!(" encoding {}", Literal(encoding));
    }
    let provider = *plan.locale_provider.get();
    let Some(locale) = plan.locale.get() else {
        if provider == LocaleProvider::Libc {
            return Ok(clause);
        }
        let message = format!(
            "locale_provider {provider} ({}) needs a locale, but none is set",
            plan.locale_provider.source
        );
        return Err(Error::new(ErrorKind::Config, message).with_help(
            "set `locale` below [provision] or EBBTIDE_LOCALE, for example \"es-ES\" for icu and \
             \"C.UTF-8\" for builtin",
        ));
    };
    check_version(plan, version_num)?;
    let name = Literal(locale);
    let of_provider = match provider {
        // Before version 15 there is one provider, and no word for it.
        LocaleProvider::Libc if version_num < 150_000 => {
            format!(" lc_collate {name} lc_ctype {name}")
        }
        LocaleProvider::Libc => {
            format!(" locale_provider libc lc_collate {name} lc_ctype {name}")
        }
        LocaleProvider::Icu => {
            check_language(plan, locale, admin).await?;
            format!(" locale_provider icu icu_locale {name}")
        }
        LocaleProvider::Builtin => {
            format!(" locale_provider builtin builtin_locale {name}")
        }
    };
    Ok(clause + &of_provider)
}

fn check_version(plan: &Plan, version_num: u32) -> Result<()> {
    let provider = *plan.locale_provider.get();
    let first = match provider {
        LocaleProvider::Libc => return Ok(()),
        LocaleProvider::Icu => 15,
        LocaleProvider::Builtin => 17,
    };
    let major = version_num / 10_000;
    if major >= first {
        return Ok(());
    }
    let message = format!(
        "locale_provider {provider} ({}) requires PostgreSQL {first} or later, but the server is \
         PostgreSQL {major}",
        plan.locale_provider.source
    );
    Err(Error::new(ErrorKind::Config, message)
        .with_help("use a newer server (`postgres = \"17\"`), or locale_provider libc"))
}

/// Checks that ICU has the language of a locale. ICU itself accepts any name, and sorts an unknown
/// language by its general rules.
/// <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-ICU-VALIDATION-LEVEL>
async fn check_language(plan: &Plan, locale: &str, admin: &mut PgConnection) -> Result<()> {
    let languages: Vec<String> = sqlx::query_scalar(
        "select distinct split_part(collname::text, '-', 1) from pg_collation \
         where collprovider = 'i' and collname <> 'unicode' order by 1",
    )
    .fetch_all(admin)
    .await
    .map_err(|error| sql_error::failed("reading ICU's languages", error))?;
    let end = |c: char| matches!(c, '-' | '_' | '@' | '.');
    let language = locale.split(end).next().unwrap_or_default();
    let language = language.to_ascii_lowercase();
    // A server that is built without ICU has no language, and CREATE DATABASE reports the reason.
    let is_known = languages.is_empty()
        || ["", "und", "root"].contains(&&*language)
        || languages.contains(&language);
    if is_known {
        return Ok(());
    }
    let message = format!(
        "ICU must have the language of the locale {locale:?} ({}), but does not have {language:?}",
        plan.locale.source
    );
    Err(Error::new(ErrorKind::Config, message)
        .with_evidence("ICU's languages", languages.join(" "))
        .with_help("write a language and perhaps a region, for example \"es\" or \"es-ES\""))
}

/// The error for a `CREATE DATABASE` that failed. If the plan sets a locale or an encoding, they
/// are the cause of every error about a value.
pub(super) async fn refused(plan: &Plan, admin: &mut PgConnection, error: sqlx::Error) -> Error {
    let is_of_plan = plan.locale.is_some() || plan.encoding.is_some();
    // invalid_parameter_value, wrong_object_type, undefined_object, feature_not_supported
    let is_about_value = matches!(
        sql_error::code(&error),
        Some("22023" | "42809" | "42704" | "0A000")
    );
    if !is_of_plan || !is_about_value {
        return sql_error::failed("creating the database", error);
    }
    let mut parts = Vec::new();
    if let Some(locale) = plan.locale.get() {
        let provider = *plan.locale_provider.get();
        parts.push(format!(
            "the locale {locale:?} of {provider} ({})",
            plan.locale.source
        ));
    }
    if let Some(encoding) = plan.encoding.get() {
        parts.push(format!(
            "the encoding {encoding:?} ({})",
            plan.encoding.source
        ));
    }
    let message = format!(
        "the server cannot create a database with {}",
        parts.join(" and ")
    );
    let reason = crate::error::cause_message(&error);
    let report = Error::new(ErrorKind::Config, message).with_source(error);
    if reason.contains("ICU is not supported") {
        return report.with_help(
            "the server is built without ICU: use another one, such as that of the image postgres, \
             or set `locale_provider` to libc or builtin",
        );
    }
    if reason.contains("does not match locale") {
        return report.with_help(
            "set `encoding` to the one of the locale, or `locale` to \"C\", which fits every \
             encoding",
        );
    }
    if reason.contains("template database") {
        return report.with_help(
            "the database is copied from template1, because of an extension that this role may \
             not install: use the locale and the encoding of template1, or a superuser",
        );
    }
    if reason.contains("encoding name") {
        return report.with_help(
            "write an encoding of PostgreSQL, for example UTF8, LATIN1 or SQL_ASCII: \
             https://www.postgresql.org/docs/current/multibyte.html",
        );
    }
    let has = "select coalesce(string_agg(distinct collcollate, ' ' order by collcollate), '') \
               from pg_collation where collprovider = 'c' and collcollate <> ''";
    // The refusal is the error to report, also if the list cannot be read.
    let has: String = sqlx::query_scalar(has)
        .fetch_one(admin)
        .await
        .unwrap_or_default();
    report
        .with_evidence("locales of libc on the server's machine", has)
        .with_help(
            "generate the locale there (Debian, Ubuntu: `locale-gen`; a container's image must \
             have it), use one that exists, or set `locale_provider` to icu",
        )
}
