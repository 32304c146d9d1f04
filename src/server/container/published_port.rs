//! How to reach a server in a container.

use serde::{Deserialize, Serialize};

/// The address in the pointer to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PublishedPort {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) password: String,
    /// The container's name.
    pub(super) container: String,
    /// The engine's address.
    pub(super) engine: String,
}

impl PublishedPort {
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("an address holds plain values")
    }

    /// Returns `None` if the address has another form.
    pub(super) fn from_json(address: &serde_json::Value) -> Option<Self> {
        Self::deserialize(address).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_holds_the_port_and_another_form_is_not_used() {
        let port = PublishedPort {
            host: "127.0.0.1".to_owned(),
            port: 54_321,
            password: "secret".to_owned(),
            container: "ebbtide-0011.2233".to_owned(),
            engine: "unix:///var/run/docker.sock".to_owned(),
        };
        let json = port.to_json();
        assert_eq!(json["port"], 54_321);
        assert_eq!(PublishedPort::from_json(&json), Some(port));
        assert_eq!(PublishedPort::from_json(&serde_json::Value::Null), None);
    }
}
