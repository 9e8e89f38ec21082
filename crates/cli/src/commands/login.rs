//! `login` and `logout` (docker/cli `cli/command/registry/{login,logout}.go`).

use std::io::{BufRead, IsTerminal, Read, StdinLock, Take};

use bollard_stubs::models::AuthResponse;
use hyper::StatusCode;

use crate::arguments::{LoginArguments, LogoutArguments};
use crate::client::{Client, ClientError, Target};
use crate::credentials::{self, CredentialsError, DOCKER_HUB, Keeper, Login};
use crate::failure::{Failure, Result};
use crate::output::{line, print, tell};
use crate::session::Raw;
use crate::sys;

/// The longest name or password, in bytes.
const LONGEST: u64 = 64 << 10;
/// What a shell shows for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
const HUB_HELP: &str = "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you \
                        don't have a Docker ID, head over to https://hub.docker.com/ to create one.";

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Self {
        Self::new(error.to_string())
    }
}

/// `sampan login`. Ctrl-C ends it by its own hand, which puts the terminal right first.
pub(crate) async fn log_in(client: &Client, arguments: LoginArguments) -> Result<()> {
    let mut signals = sys::Signals::ending()?;
    tokio::select! {
        done = authenticate(client, arguments) => done,
        _ = signals.next() => {
            line("")?;
            Err(Failure { message: String::new(), code: INTERRUPTED })
        }
    }
}

async fn authenticate(client: &Client, arguments: LoginArguments) -> Result<()> {
    let key = credentials::key(arguments.server.as_deref().unwrap_or_default());
    let username = arguments.username.unwrap_or_default().trim().to_owned();
    let password = given_password(arguments.password, arguments.password_stdin, &username).await?;
    let mut keeper = Keeper::open()?;
    let kept = if username.is_empty() && password.is_empty() {
        keeper.get(&key).await?
    } else {
        None
    };
    let mut usual = String::new();
    if let Some(login) = kept {
        tell("Authenticating with existing credentials...");
        match check(client, &key, &login).await {
            Ok(answer) => return keep(&mut keeper, &key, login, answer).await,
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                tell("Stored credentials invalid or expired");
            }
            Err(error) => return Err(error.into()),
        }
        usual = login.username;
    }
    let login = ask(&key, username, password, &usual).await?;
    let answer = check(client, &key, &login).await?;
    keep(&mut keeper, &key, login, answer).await
}

/// The password of the command line or of stdin; empty where it is to be asked for.
async fn given_password(password: Option<String>, from_stdin: bool, username: &str) -> Result<String> {
    if password.is_some() {
        tell("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        if from_stdin {
            return Err(Failure::new(
                "--password and --password-stdin are mutually exclusive",
            ));
        }
    }
    if !from_stdin {
        return Ok(password.unwrap_or_default());
    }
    if username.is_empty() {
        return Err(Failure::new("Must provide --username with --password-stdin"));
    }
    let text = read(|stdin, text| stdin.read_to_string(text)).await?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Asks the person for what was not given.
async fn ask(key: &str, mut username: String, mut password: String, usual: &str) -> Result<Login> {
    if (username.is_empty() || password.is_empty()) && !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    if username.is_empty() {
        if key == DOCKER_HUB {
            line(HUB_HELP)?;
        }
        print(&match usual {
            "" => "Username: ".to_owned(),
            usual => format!("Username ({usual}): "),
        })?;
        username = typed().await?.trim().to_owned();
        if username.is_empty() {
            username = usual.to_owned();
        }
        if username.is_empty() {
            return Err(Failure::new("Error: Non-null Username Required"));
        }
    }
    if password.is_empty() {
        let _silent = Raw::without_echo()?;
        print("Password: ")?;
        password = typed().await?;
        // The Enter key was not shown either.
        line("")?;
        if password.is_empty() {
            return Err(Failure::new("Error: Password Required"));
        }
    }
    Ok(Login {
        username,
        password,
        ..Login::default()
    })
}

/// The line that the person types.
async fn typed() -> Result<String> {
    let text = read(|stdin, text| stdin.read_line(text)).await?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Some of stdin, read on a thread of its own: signals are heard meanwhile.
async fn read(
    how: impl FnOnce(&mut Take<StdinLock<'_>>, &mut String) -> std::io::Result<usize> + Send + 'static,
) -> Result<String> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let mut stdin = std::io::stdin().lock().take(LONGEST);
        how(&mut stdin, &mut text)?;
        if stdin.limit() == 0 {
            return Err(std::io::Error::other(format!(
                "what was to be read from stdin is longer than {LONGEST} bytes"
            )));
        }
        Ok(text)
    });
    let read = reading.await.map_err(|error| Failure::new(error.to_string()))?;
    Ok(read?)
}

/// Asks the engine to ask the registry.
async fn check(client: &Client, key: &str, login: &Login) -> Result<AuthResponse, ClientError> {
    client
        .post_json(&Target::new(&["auth"]), &login.to_json(key))
        .await
}

/// Keeps what the registry has taken.
async fn keep(keeper: &mut Keeper, key: &str, mut login: Login, answer: AuthResponse) -> Result<()> {
    if let Some(token) = answer.identity_token.filter(|token| !token.is_empty()) {
        login.password = String::new();
        login.identity_token = token;
    }
    if let Some(path) = keeper.store(key, &login).await? {
        tell(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove \
             this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    line(&answer.status)
}

/// `sampan logout`.
pub(crate) async fn log_out(arguments: &LogoutArguments) -> Result<()> {
    let server = arguments.server.as_deref().unwrap_or_default().trim();
    let key = credentials::key(server);
    let mut keys = vec![key.clone()];
    if key != DOCKER_HUB {
        // Older clients kept registries under any of these.
        keys.extend([
            server.to_owned(),
            format!("http://{key}"),
            format!("https://{key}"),
        ]);
        keys.dedup();
    }
    if Keeper::open()?.erase(&keys).await? {
        line(&format!("Removing login credentials for {key}"))
    } else {
        line(&format!("Not logged in to {key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_from_stdin_needs_a_name_and_no_second_password() {
        let error = given_password(None, true, "").await.unwrap_err();
        assert_eq!(error.message, "Must provide --username with --password-stdin");
        let error = given_password(Some("secret".to_owned()), true, "me")
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "--password and --password-stdin are mutually exclusive"
        );
    }
}
