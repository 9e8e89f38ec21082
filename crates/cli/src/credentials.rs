//! Credentials for registries as `docker login` keeps them: `auths` of `config.json` in `DOCKER_CONFIG` or
//! `~/.docker`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::reference;

/// The header that carries credentials to the engine.
pub(crate) const HEADER: &str = "x-registry-auth";
/// The longest `config.json`, in bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// The header's value for an image's registry; none where none are kept.
pub(crate) fn header(image: &str) -> Option<String> {
    let folder = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))?;
    let file = std::fs::File::open(folder.join("config.json")).ok()?;
    let config: Value = serde_json::from_reader(std::io::Read::take(file, LONGEST_FILE)).ok()?;
    from_config(&config, image)
}

fn from_config(config: &Value, image: &str) -> Option<String> {
    let domain = reference::domain(image);
    let auths = config.get("auths")?.as_object()?;
    let key = if domain == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        domain
    };
    let entry = auths
        .get(key)
        .or_else(|| auths.get(&format!("https://{domain}")))?;
    let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let decoded = STANDARD
        .decode(text("auth"))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.unwrap_or_default();
    let (username, password) = decoded
        .split_once(':')
        .unwrap_or((text("username"), text("password")));
    let credentials = json!({
        "username": username,
        "password": password.trim_end_matches('\0'),
        "identitytoken": text("identitytoken"),
        "registrytoken": text("registrytoken"),
        "serveraddress": key,
    });
    Some(URL_SAFE.encode(credentials.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_credentials_go_to_their_own_registry_only() {
        let config = json!({ "auths": { "localhost:5000": { "auth": STANDARD.encode("me:se:cret") } } });
        let header = from_config(&config, "localhost:5000/a").unwrap();
        let sent: Value = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(
            (&sent["username"], &sent["password"]),
            (&json!("me"), &json!("se:cret"))
        );
        assert_eq!(from_config(&config, "alpine"), None);
    }
}
