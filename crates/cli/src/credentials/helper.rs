//! `docker-credential-NAME` (docker/docker-credential-helpers, `client`): a program that keeps credentials where the
//! operating system keeps secrets. It is told what to do by its argument, and asked and answers with JSON.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::{CredentialsError, Login, Result, TOKEN_USER};

/// The longest answer, in bytes.
const LONGEST: u64 = 1 << 20;
/// How long a helper may take: it can have to ask a person.
const PATIENCE: Duration = Duration::from_secs(300);
/// What a helper says of a registry that it knows nothing of.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// One helper.
#[derive(Debug)]
pub(super) struct Helper {
    program: String,
}

impl Helper {
    pub(super) fn new(name: &str) -> Self {
        // Only PATH is looked in: a name with a slash would be a program anywhere.
        let name = name.replace(['/', '\\'], "_");
        Self {
            program: format!("docker-credential-{name}"),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Login>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Username", default)]
            username: String,
            #[serde(rename = "Secret", default)]
            secret: String,
        }
        let Some(bytes) = self.run("get", key.as_bytes()).await? else {
            return Ok(None);
        };
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|error| self.failed(format!("its answer is not understood: {error}")))?;
        let login = if answer.username == TOKEN_USER {
            Login {
                identity_token: answer.secret,
                ..Login::default()
            }
        } else {
            Login {
                username: answer.username,
                password: answer.secret,
                ..Login::default()
            }
        };
        Ok(Some(login))
    }

    pub(super) async fn store(&self, key: &str, login: &Login) -> Result<()> {
        let (username, secret) = if login.identity_token.is_empty() {
            (login.username.as_str(), &login.password)
        } else {
            (TOKEN_USER, &login.identity_token)
        };
        let input = json!({ "ServerURL": key, "Username": username, "Secret": secret }).to_string();
        self.run("store", input.as_bytes()).await.map(drop)
    }

    pub(super) async fn erase(&self, key: &str) -> Result<()> {
        self.run("erase", key.as_bytes()).await.map(drop)
    }

    /// What the helper answers; nothing where it knows nothing.
    async fn run(&self, action: &str, input: &[u8]) -> Result<Option<Vec<u8>>> {
        let (success, answer) = match timeout(PATIENCE, self.exchange(action, input)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CredentialsError::NoHelper {
                    program: self.program.clone(),
                });
            }
            Ok(Err(error)) => return Err(self.failed(error.to_string())),
            Err(_) => return Err(self.failed(format!("no answer in {} seconds", PATIENCE.as_secs()))),
        };
        if success {
            return Ok(Some(answer));
        }
        let text = String::from_utf8_lossy(&answer);
        let text: String = text
            .trim()
            .chars()
            .filter(|char| !char.is_control())
            .take(300)
            .collect();
        if text == NOT_FOUND {
            return Ok(None);
        }
        Err(self.failed(if text.is_empty() {
            "it does not say why".to_owned()
        } else {
            text
        }))
    }

    async fn exchange(&self, action: &str, input: &[u8]) -> io::Result<(bool, Vec<u8>)> {
        let mut child = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A helper that does not read its input says why with its end.
                let _ = stdin.write_all(input).await;
            }
        };
        let read = async {
            let mut answer = Vec::new();
            if let Some(stdout) = stdout {
                let mut limited = stdout.take(LONGEST.saturating_add(1));
                limited.read_to_end(&mut answer).await?;
            }
            Ok::<_, io::Error>(answer)
        };
        let ((), answer) = tokio::join!(write, read);
        let answer = answer?;
        if answer.len() as u64 > LONGEST {
            return Err(io::Error::other(format!(
                "its answer is longer than {LONGEST} bytes"
            )));
        }
        Ok((child.wait().await?.success(), answer))
    }

    fn failed(&self, reason: String) -> CredentialsError {
        CredentialsError::Helper {
            program: self.program.clone(),
            reason,
        }
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A helper that is a shell script.
    fn helper(folder: &tempfile::TempDir, script: &str) -> Helper {
        let path = folder.path().join("helper");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Helper {
            program: path.to_str().unwrap().to_owned(),
        }
    }

    async fn get(script: &str) -> Result<Option<Login>> {
        let folder = tempfile::tempdir().unwrap();
        helper(&folder, script).get("localhost:5000").await
    }

    #[tokio::test]
    async fn a_helper_is_asked_for_a_registry_and_answers_with_a_login_or_a_token() {
        let login =
            get(r#"test "$1 $(cat)" = "get localhost:5000" && echo '{"Username":"me","Secret":"x"}'"#).await;
        let login = login.unwrap().unwrap();
        assert_eq!((login.username.as_str(), login.password.as_str()), ("me", "x"));
        let login = get(r#"echo '{"Username":"<token>","Secret":"x"}'"#)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (login.username.as_str(), login.identity_token.as_str()),
            ("", "x")
        );
    }

    #[tokio::test]
    async fn a_helper_that_knows_nothing_is_no_failure_and_one_that_fails_says_why() {
        let nothing = get("echo credentials not found in native keychain; exit 1").await;
        assert_eq!(nothing.unwrap(), None);
        let error = get("echo the keychain is locked; exit 1")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("helper failed: the keychain is locked"),
            "{error}"
        );
        let error = get("echo '{'").await.unwrap_err().to_string();
        assert!(error.contains("its answer is not understood"), "{error}");
    }

    #[tokio::test]
    async fn a_helper_that_never_stops_talking_is_ended() {
        let error = get("exec cat /dev/zero").await.unwrap_err().to_string();
        assert!(error.contains("longer than 1048576 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_login_is_given_to_a_helper_on_stdin_and_taken_from_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let helper = helper(&folder, r#"{ echo "$1"; cat; echo; } >> "$(dirname "$0")/told""#);
        let login = Login {
            username: "me".to_owned(),
            password: "x".to_owned(),
            ..Login::default()
        };
        helper.store("localhost:5000", &login).await.unwrap();
        helper.erase("localhost:5000").await.unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("told")).unwrap(),
            "store\n{\"Secret\":\"x\",\"ServerURL\":\"localhost:5000\",\"Username\":\"me\"}\nerase\nlocalhost:5000\n"
        );
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_path() {
        assert_eq!(Helper::new("../x").program, "docker-credential-.._x");
    }
}
