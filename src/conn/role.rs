//! The same server, for sessions that log in as another role.

use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::url_text::{pairs, percent_decode, percent_encode};
use super::{ConnParams, RoleKind, VersionAndRole, accepted_url};
use crate::error::{Error, ErrorKind, Result};

/// How a role logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleLogin<'a> {
    /// The server trusts every client that can reach it, or the role has the server's password.
    AsSuperuser,
    /// With this password; without one, the driver's password file counts.
    WithPassword(Option<&'a str>),
}

impl ConnParams {
    /// The same server and settings, for sessions that log in as `role`.
    ///
    /// # Errors
    /// The URL cannot be completed.
    pub(crate) fn as_role(&self, role: &str, login: RoleLogin<'_>) -> Result<Self> {
        let version_and_role = self.version_and_role.map(|known| VersionAndRole {
            role: RoleKind::Ordinary,
            ..known
        });
        let (url, options) = match login {
            RoleLogin::AsSuperuser => self.with_user(role),
            RoleLogin::WithPassword(password) => self
                .with_credentials(role, password)
                .map_err(|error| unusable(role).with_source(error))?,
        };
        Ok(Self {
            options,
            url,
            session: self.session.clone(),
            admin: self.admin.clone(),
            credentials: self.credentials,
            version_and_role,
        })
    }

    /// The password that the URL contains.
    pub(crate) fn password(&self) -> Option<String> {
        self.encoded_password()
            .map(|password| percent_decode(&password))
    }

    /// The password that the URL contains, still encoded.
    fn encoded_password(&self) -> Option<String> {
        let url: Url = self.url.0.parse().ok()?;
        url.password().map(str::to_owned)
    }

    /// The URL and the options of a server that ebbtide has started.
    fn with_user(&self, role: &str) -> ((String, Vec<String>), PgConnectOptions) {
        let host = self.url.0.rsplit_once('@').map_or("/", |(_, host)| host);
        let password = self.encoded_password();
        let password = password.map_or(String::new(), |password| format!(":{password}"));
        let authority = format!("postgres://{}{password}@{host}", percent_encode(role));
        let options = self.options.clone().username(role);
        ((authority, self.url.1.clone()), options)
    }

    /// The URL and the options of a server at the user's URL.
    fn with_credentials(
        &self,
        role: &str,
        password: Option<&str>,
    ) -> Result<((String, Vec<String>), PgConnectOptions), sqlx::Error> {
        let is_replaced = |pair: &&str| {
            let name = pair.split('=').next();
            name == Some("user") || name == Some("password")
        };
        let base = accepted_url::parse(&self.url(&self.admin))?;
        let mut kept: Vec<String> = pairs(&base)
            .into_iter()
            .filter(|pair| !is_replaced(pair))
            .map(str::to_owned)
            .collect();
        let mut url = base.clone();
        // A URL without a host has no place for a user, so its user is a parameter.
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        let is_set =
            has_host && url.set_username(role).is_ok() && url.set_password(password).is_ok();
        if !is_set {
            kept.push(format!("user={}", percent_encode(role)));
            if let Some(password) = password {
                kept.push(format!("password={}", percent_encode(password)));
            }
        }
        url.set_query(
            Some(&kept.join("&"))
                .filter(|query| !query.is_empty())
                .map(String::as_str),
        );
        let with_role = Self::external(url.as_str(), &std::collections::BTreeMap::new())?;
        Ok((with_role.url, with_role.options))
    }
}

fn unusable(role: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("the server's URL cannot be used with the role {role:?}"),
    )
    .with_help(super::URL_HELP)
}
