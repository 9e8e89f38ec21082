//! Credentials for registries as `docker login` keeps them (docker/cli `cli/config`): in `auths` of `config.json` in
//! `DOCKER_CONFIG` or `~/.docker`, or with a program that the file names, `credHelpers` for one registry and
//! `credsStore` for all.

mod file;
mod helper;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::output::tell;
use crate::reference;
use file::ConfigFile;
use helper::Helper;

/// The header that carries credentials to the engine.
pub(crate) const HEADER: &str = "x-registry-auth";
/// What Docker Hub's credentials are kept under.
pub(crate) const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user name with which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Why credentials could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("there is no folder for config.json: set DOCKER_CONFIG to one")]
    NoFolder,
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is not understood: {reason}; mend it or move it away")]
    Malformed { path: PathBuf, reason: String },
    #[error(
        "the credential helper {program} is not in PATH: install it, or take credsStore and credHelpers out of \
         config.json"
    )]
    NoHelper { program: String },
    #[error("the credential helper {program} failed: {reason}")]
    Helper { program: String, reason: String },
}

type Result<T, E = CredentialsError> = std::result::Result<T, E>;

/// Who a person is to one registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) identity_token: String,
    pub(crate) registry_token: String,
}

/// No secret of it appears in a log.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Login {
    fn is_nobody(&self) -> bool {
        self.username.is_empty() && self.identity_token.is_empty() && self.registry_token.is_empty()
    }

    /// The form in which Docker's API takes it.
    pub(crate) fn to_json(&self, server: &str) -> Value {
        json!({
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
            "registrytoken": self.registry_token,
            "serveraddress": server,
        })
    }
}

/// The folder of Docker's client: `DOCKER_CONFIG`, or `~/.docker`.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os("DOCKER_CONFIG")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
}

/// The context that `docker` talks to, if one was chosen for it and the file can be read.
pub(crate) fn context_of_docker() -> Option<String> {
    let file = ConfigFile::read(folder()?.join("config.json")).ok()?;
    file.text(&["currentContext"]).map(str::to_owned)
}

/// Where credentials are kept.
#[derive(Debug)]
pub(crate) struct Keeper {
    file: ConfigFile,
}

impl Keeper {
    pub(crate) fn open() -> Result<Self> {
        let folder = folder().ok_or(CredentialsError::NoFolder)?;
        Ok(Self {
            file: ConfigFile::read(folder.join("config.json"))?,
        })
    }

    /// What is kept for a registry, if anything is.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Login>> {
        let found = match self.helper(key) {
            Some(helper) => helper.get(key).await?,
            None => from_file(&self.file, key),
        };
        Ok(found.filter(|login| !login.is_nobody()))
    }

    /// Keeps a login. Gives the file's path where it lies there for whoever can read the file.
    pub(crate) async fn store(&mut self, key: &str, login: &Login) -> Result<Option<PathBuf>> {
        let mut entry = json!({});
        let unencrypted = match self.helper(key) {
            Some(helper) => {
                helper.store(key, login).await?;
                None
            }
            None => {
                let text = format!("{}:{}", login.username, login.password);
                if !login.username.is_empty() {
                    entry = json!({ "auth": STANDARD.encode(text) });
                }
                if !login.identity_token.is_empty()
                    && let Some(entry) = entry.as_object_mut()
                {
                    entry.insert("identitytoken".to_owned(), login.identity_token.clone().into());
                }
                Some(self.file.path().to_owned())
            }
        };
        self.file.set_auth(key, entry)?;
        self.file.write()?;
        Ok(unencrypted)
    }

    /// Forgets a registry under these names. Says whether anything was kept.
    pub(crate) async fn erase(&mut self, keys: &[String]) -> Result<bool> {
        let (mut kept, mut changed) = (false, false);
        for key in keys {
            if let Some(helper) = self.helper(key)
                && helper.get(key).await?.is_some()
            {
                helper.erase(key).await?;
                kept = true;
            }
            changed |= self.file.remove_auth(key);
        }
        if changed {
            self.file.write()?;
        }
        Ok(kept || changed)
    }

    fn helper(&self, key: &str) -> Option<Helper> {
        let own = self.file.text(&["credHelpers", key]);
        let own = own.or_else(|| self.file.text(&["credHelpers", hostname(key)]));
        own.or_else(|| self.file.text(&["credsStore"])).map(Helper::new)
    }
}

/// The header for an image's registry; none where no credentials are kept. An image that anybody may have needs
/// none, so what is wrong with them is told, and the request made without.
pub(crate) async fn headers(image: &str) -> Vec<(&'static str, String)> {
    let key = key(reference::domain(image));
    let found = async { Keeper::open()?.get(&key).await };
    match found.await {
        Ok(Some(login)) => vec![(HEADER, URL_SAFE.encode(login.to_json(&key).to_string()))],
        Ok(None) => Vec::new(),
        Err(error) => {
            tell(&format!("WARNING: no credentials are sent: {error}"));
            Vec::new()
        }
    }
}

/// The same for a push, which has to carry the header even for nobody.
pub(crate) async fn headers_of_push(image: &str) -> Vec<(&'static str, String)> {
    let headers = headers(image).await;
    if headers.is_empty() {
        vec![(HEADER, URL_SAFE.encode("{}"))]
    } else {
        headers
    }
}

/// What a registry's credentials are kept under, from its address as a person writes it.
pub(crate) fn key(server: &str) -> String {
    match hostname(server.trim()) {
        "" | "docker.io" | "index.docker.io" => DOCKER_HUB.to_owned(),
        host => host.to_owned(),
    }
}

/// An address without scheme and path.
pub(crate) fn hostname(address: &str) -> &str {
    let bare = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    bare.split('/').next().unwrap_or_default()
}

fn from_file(file: &ConfigFile, key: &str) -> Option<Login> {
    let auths = file.auths()?;
    let same = |(name, _): &(&String, &Value)| hostname(name) == hostname(key);
    let entry = auths
        .get(key)
        .or_else(|| auths.iter().find(same).map(|(_, entry)| entry))?;
    Some(of_entry(entry))
}

fn of_entry(entry: &Value) -> Login {
    let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let decoded = STANDARD
        .decode(text("auth"))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.unwrap_or_default();
    let (username, password) = decoded
        .split_once(':')
        .unwrap_or((text("username"), text("password")));
    Login {
        username: username.to_owned(),
        password: password.trim_end_matches('\0').to_owned(),
        identity_token: text("identitytoken").to_owned(),
        registry_token: text("registrytoken").to_owned(),
    }
}

/// Every secret in `config.json`, so that none of them is told anywhere; those that a helper keeps stay with it.
pub(crate) fn secrets() -> Vec<String> {
    Keeper::open().map_or_else(|_| Vec::new(), |keeper| secrets_in(&keeper.file))
}

fn secrets_in(file: &ConfigFile) -> Vec<String> {
    let entries = file.auths().into_iter().flat_map(|auths| auths.values());
    let secrets = entries.flat_map(|entry| {
        let login = of_entry(entry);
        let auth = entry.get("auth").and_then(Value::as_str).unwrap_or_default();
        [
            auth.to_owned(),
            login.password,
            login.identity_token,
            login.registry_token,
        ]
    });
    secrets.filter(|secret| !secret.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(folder: &tempfile::TempDir, text: &str) -> Keeper {
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        Keeper {
            file: ConfigFile::read(path).unwrap(),
        }
    }

    fn login(username: &str, password: &str) -> Login {
        Login {
            username: username.to_owned(),
            password: password.to_owned(),
            ..Login::default()
        }
    }

    #[tokio::test]
    async fn kept_credentials_go_to_their_own_registry_only() {
        let folder = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode("me:se:cret");
        let keeper = keeper(
            &folder,
            &json!({ "auths": { "https://localhost:5000/v1/": { "auth": auth } } }).to_string(),
        );
        assert_eq!(
            keeper.get(&key("localhost:5000")).await.unwrap(),
            Some(login("me", "se:cret"))
        );
        assert_eq!(keeper.get(&key("docker.io")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_login_is_found_again_until_it_is_erased_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let before = r#"{"HttpHeaders":{"a":"b"},"auths":{"x":{"auth":"eTp6"}},"detachKeys":"ctrl-e"}"#;
        let mut keeper = keeper(&folder, before);
        let path = keeper
            .store("localhost:5000", &login("me", "secret"))
            .await
            .unwrap();
        assert_eq!(path.as_deref(), Some(folder.path().join("config.json").as_path()));
        let again = Keeper {
            file: ConfigFile::read(path.unwrap()).unwrap(),
        };
        assert_eq!(
            again.get("localhost:5000").await.unwrap(),
            Some(login("me", "secret"))
        );
        let keys = ["localhost:5000".to_owned()];
        assert!(keeper.erase(&keys).await.unwrap());
        assert!(!keeper.erase(&keys).await.unwrap());
        let after = std::fs::read(folder.path().join("config.json")).unwrap();
        let after: Value = serde_json::from_slice(&after).unwrap();
        assert_eq!(after, serde_json::from_str::<Value>(before).unwrap());
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(&folder, r#"{"credsStore":"sampan-nowhere"}"#);
        let error = keeper.get("localhost:5000").await.unwrap_err().to_string();
        assert!(
            error.contains("docker-credential-sampan-nowhere is not in PATH"),
            "{error}"
        );
    }

    #[test]
    fn the_secrets_of_every_registry_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode("me:se:cret");
        let auths = json!({ "auths": { "a": { "auth": auth }, "b": { "identitytoken": "token" }, "c": {} } });
        let keeper = keeper(&folder, &auths.to_string());
        assert_eq!(secrets_in(&keeper.file), [&auth, "se:cret", "token"]);
    }

    #[test]
    fn every_way_to_write_docker_hub_means_the_same() {
        for server in ["", "docker.io", "index.docker.io", DOCKER_HUB] {
            assert_eq!(key(server), DOCKER_HUB);
        }
        assert_eq!(key("https://registry.example/v2/"), "registry.example");
    }
}
