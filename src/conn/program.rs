//! The address of a database in the forms that other programs expect: a URL and libpq's variables.

use sqlx::ConnectOptions as _;
use url::Url;

use super::url_text::{percent_decode, percent_encode};
use super::{ConnParams, Credentials};

/// Variables that change libpq's sessions on any server, or connect them to another server.
const SESSION_VARIABLES: [&str; 10] = [
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGDATESTYLE",
    "PGGEQO",
    "PGHOSTADDR",
    "PGLOADBALANCEHOSTS",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
];

/// Variables for authentication and encryption.
///
/// A server that ebbtide has started has no certificate, and may request no password. Some values
/// of these variables make libpq refuse such a server.
const AUTHENTICATION_VARIABLES: [&str; 20] = [
    "PGCHANNELBINDING",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGKRBSRVNAME",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSSLCERT",
    "PGSSLCERTMODE",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLKEY",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
    "PGSSLSNI",
];

impl ConnParams {
    /// A URL as libpq documents it: the scheme `postgresql`, and a socket's directory as a
    /// parameter.
    ///
    /// psycopg and SQLAlchemy accept this form as well.
    /// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>
    pub(crate) fn program_url(&self, database: &str) -> String {
        let url = self.url(database);
        let Ok(parsed) = url.parse::<Url>() else {
            return url;
        };
        let socket = parsed
            .host_str()
            .filter(|host| host.to_ascii_uppercase().starts_with("%2F"));
        let Some(socket) = socket else {
            return url.replacen("postgres://", "postgresql://", 1);
        };
        let password = parsed
            .password()
            .map(|password| format!(":{password}"))
            .unwrap_or_default();
        let rest = parsed
            .query()
            .map(|query| format!("&{query}"))
            .unwrap_or_default();
        format!(
            "postgresql://{}{password}@/{}?host={socket}&port={}{rest}",
            parsed.username(),
            percent_encode(database),
            self.options.get_port()
        )
    }

    /// libpq's environment variables for a database. A variable without a value must be unset.
    /// <https://www.postgresql.org/docs/current/libpq-envars.html>
    pub(crate) fn variables(&self, database: &str) -> Vec<(&'static str, Option<String>)> {
        let options = &self.options;
        let host = options
            .get_socket()
            .map_or(options.get_host().to_owned(), |dir| {
                dir.display().to_string()
            });
        let mut variables: Vec<(&'static str, Option<String>)> =
            SESSION_VARIABLES.map(|name| (name, None)).to_vec();
        if self.credentials == Credentials::Complete {
            variables.extend(AUTHENTICATION_VARIABLES.map(|name| (name, None)));
            variables.push(("PGSSLMODE", Some("disable".to_owned())));
        }
        variables.extend([
            ("PGHOST", Some(host)),
            ("PGPORT", Some(options.get_port().to_string())),
            ("PGUSER", Some(self.user().to_owned())),
            ("PGDATABASE", Some(database.to_owned())),
            (
                "PGOPTIONS",
                Some(self.session.clone()).filter(|session| !session.is_empty()),
            ),
        ]);
        // Variables that the URL does not determine stay as they are. The driver has used them, or
        // a password file, as well.
        let parameter = |names: &[&str]| {
            let value = |pair: &String| {
                let (name, value) = pair.split_once('=')?;
                names.contains(&name).then(|| percent_decode(value))
            };
            self.url.1.iter().rev().find_map(value)
        };
        let in_authority = self
            .url
            .0
            .parse::<Url>()
            .ok()
            .and_then(|url| url.password().map(percent_decode));
        let given = [
            ("PGPASSWORD", parameter(&["password"]).or(in_authority)),
            ("PGSSLMODE", parameter(&["sslmode", "ssl-mode"])),
            (
                "PGSSLROOTCERT",
                parameter(&["sslrootcert", "ssl-root-cert", "ssl-ca"]),
            ),
            ("PGSSLCERT", parameter(&["sslcert", "ssl-cert"])),
            ("PGSSLKEY", parameter(&["sslkey", "ssl-key"])),
        ];
        variables.extend(given.into_iter().filter(|(_, value)| value.is_some()));
        variables
    }

    /// Replaces our password in a text, which may quote a URL.
    ///
    /// The password may come from the URL, a variable or a password file.
    pub(crate) fn without_password(&self, text: &str) -> String {
        let url = self.options.to_url_lossy();
        let Some(encoded) = url.password().filter(|password| !password.is_empty()) else {
            return text.to_owned();
        };
        let password = percent_decode(encoded);
        // The user's URL may encode more or fewer characters than `percent_encode`.
        let written = |url: &Url| url.password().map(str::to_owned);
        let written = self.url.0.parse::<Url>().ok().as_ref().and_then(written);
        let parameter = self
            .url
            .1
            .iter()
            .find_map(|pair| pair.strip_prefix("password=").map(str::to_owned));
        let mut forms = vec![percent_encode(&password), encoded.to_owned(), password];
        forms.extend(
            written
                .into_iter()
                .chain(parameter)
                .filter(|form| !form.is_empty()),
        );
        // The longest first: one form may be a part of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms
            .iter()
            .fold(text.to_owned(), |text, form| text.replace(form, "***"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn value(params: &ConnParams, name: &str) -> Option<String> {
        // The last entry counts, as it does when a child's environment is filled.
        params
            .variables("build")
            .into_iter()
            .rfind(|(found, _)| *found == name)
            .and_then(|(_, value)| value)
    }

    #[test]
    fn a_socket_is_a_parameter_and_a_variable() {
        let params = ConnParams::socket(Path::new("/tmp/some directory"), "postgres");
        let url = "postgresql://postgres@/build?host=%2Ftmp%2Fsome%20directory&port=5432";
        assert_eq!(params.program_url("build"), url);
        assert_eq!(
            value(&params, "PGHOST").as_deref(),
            Some("/tmp/some directory")
        );
        assert_eq!(
            (
                value(&params, "PGDATABASE").as_deref(),
                value(&params, "PGPASSWORD")
            ),
            (Some("build"), None)
        );
    }

    #[test]
    fn a_password_and_settings_of_a_url_are_passed_on_complete() {
        let settings = BTreeMap::from([("work_mem".to_owned(), "8MB".to_owned())]);
        let url = "postgres://me:s%2Fe+1@db.example:6432/app?sslmode=require";
        let params = ConnParams::external(url, &settings).expect("the URL reads");
        let expected = "postgresql://me:s%2Fe+1@db.example:6432/build?sslmode=require&options=-c%20work_mem%3D8MB";
        assert_eq!(params.program_url("build"), expected);
        let found = [
            "PGHOST",
            "PGPORT",
            "PGUSER",
            "PGPASSWORD",
            "PGSSLMODE",
            "PGOPTIONS",
        ];
        let found = found.map(|name| value(&params, name).unwrap_or_default());
        assert_eq!(
            found,
            [
                "db.example",
                "6432",
                "me",
                "s/e+1",
                "require",
                "-c work_mem=8MB"
            ]
        );
    }

    #[test]
    fn a_password_reaches_programs_as_it_is_whatever_signs_it_contains() {
        for (encoded, password) in [
            ("a&b+c=d;e", "a&b+c=d;e"),
            ("a%26b%2Bc%3D%25", "a&b+c=%"),
            ("gr%C3%BC%C3%9Fe", "grüße"),
            ("50%zz", "50%zz"),
        ] {
            let url = format!("postgres://me:{encoded}@db.example/app");
            let params = ConnParams::external(&url, &BTreeMap::new()).expect("the URL reads");
            assert_eq!(value(&params, "PGPASSWORD").as_deref(), Some(password));
            let safe = params.without_password(&format!("cannot use {url} or {password}"));
            assert_eq!(safe, "cannot use postgres://me:***@db.example/app or ***");
        }
    }

    #[test]
    fn a_password_is_replaced_in_every_encoded_form() {
        for url in [
            "postgres://me:s%2fe+1@db.example/app",
            "postgres://me@db.example/app?password=s%2fe%2b1",
        ] {
            let params = ConnParams::external(url, &BTreeMap::new()).expect("the URL reads");
            for form in [
                "s/e+1",
                "s%2Fe%2B1",
                &params.url("build"),
                &params.program_url("build"),
            ] {
                let safe = params.without_password(&format!("cannot use {form}"));
                assert!(
                    safe.contains("***") && !safe.contains("+1") && !safe.contains("%2"),
                    "{safe}"
                );
            }
        }
    }
}
