//! How another program is told where a database is.

use sqlx::ConnectOptions as _;
use url::{Url, form_urlencoded};

use super::{ConnParams, Identity, percent_encode};

/// Variables that change libpq's sessions, or lead them elsewhere, on any server.
const OF_SESSIONS: [&str; 10] = [
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

/// Variables with which libpq proves who it is, or wants a proof from the server. A server of ours has no certificate and
/// may ask for no password, which some of their values refuse.
const OF_IDENTITY: [&str; 20] = [
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
    /// A URL as libpq documents it, which psycopg and SQLAlchemy read as well: the scheme in full, and a socket's directory as
    /// a parameter.
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

    /// libpq's own variables for a database; those without a value must not be set.
    /// <https://www.postgresql.org/docs/current/libpq-envars.html>
    pub(crate) fn variables(&self, database: &str) -> Vec<(&'static str, Option<String>)> {
        let options = &self.options;
        let host = options
            .get_socket()
            .map_or(options.get_host().to_owned(), |dir| {
                dir.display().to_string()
            });
        let mut variables: Vec<(&'static str, Option<String>)> =
            OF_SESSIONS.map(|name| (name, None)).to_vec();
        if self.identity == Identity::Ours {
            variables.extend(OF_IDENTITY.map(|name| (name, None)));
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
        // What the URL leaves open may stand in a variable or a file, where the driver has found it as well.
        let parameter = |names: &[&str]| {
            let value = |pair: &String| {
                let (name, value) = pair.split_once('=')?;
                names.contains(&name).then(|| percent_decode(value))
            };
            self.url.1.iter().rev().find_map(value)
        };
        let of_url = self
            .url
            .0
            .parse::<Url>()
            .ok()
            .and_then(|url| url.password().map(percent_decode));
        let given = [
            ("PGPASSWORD", parameter(&["password"]).or(of_url)),
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

    /// A text, perhaps one that quotes a URL, with our password replaced, also one that the driver has found elsewhere.
    pub(crate) fn without_password(&self, text: &str) -> String {
        let url = self.options.to_url_lossy();
        let Some(encoded) = url.password().filter(|password| !password.is_empty()) else {
            return text.to_owned();
        };
        let password = percent_decode(encoded);
        // As the URL has it, which may encode more or less than we do.
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
        // A form may be a part of another one.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms
            .iter()
            .fold(text.to_owned(), |text, form| text.replace(form, "***"))
    }
}

fn percent_decode(text: &str) -> String {
    // A plus is a plus in the parts of a URL that are no form.
    let pair = format!("a={}", text.replace('+', "%2B"));
    form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn value(params: &ConnParams, name: &str) -> Option<String> {
        // The last one holds, as in the child's environment.
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
    fn a_password_and_settings_of_a_url_arrive_whole() {
        let settings = BTreeMap::from([("work_mem".to_owned(), "8MB".to_owned())]);
        let url = "postgres://me:s%2Fe+1@db.example:6432/app?sslmode=require";
        let params = ConnParams::external(url, &settings).expect("the URL reads");
        let told = "postgresql://me:s%2Fe+1@db.example:6432/build?sslmode=require&options=-c%20work_mem%3D8MB";
        assert_eq!(params.program_url("build"), told);
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
    fn a_password_is_replaced_in_every_form_that_it_has() {
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
