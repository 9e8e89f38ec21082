//! `run` and `create`.
//!
//! The order is Docker's, and clients' habits rest on it: create (where the image is not there, pull and create
//! again), attach, wait, start; so no output is missed and no exit either.

use std::io::Write;
use std::path::{Path, PathBuf};

use bollard_stubs::models::{ContainerCreateResponse, ContainerWaitResponse};
use hyper::StatusCode;
use serde_json::Value;

use crate::arguments::{ContainerFlags, CreateArguments, RunArguments};
use crate::client::{Client, ClientError, Target};
use crate::commands::images;
use crate::create::{self, Request};
use crate::failure::{Failure, NO_CONTAINER, Result, start_code};
use crate::output::{line, tell};
use crate::progress::To;
use crate::session::{self, End, Process, Proxy, Streams};
use crate::{detach, reference, sys};

/// `sampan create`.
pub(crate) async fn create(client: &Client, arguments: CreateArguments) -> Result<()> {
    let flags = &arguments.container;
    let request = create::request(flags, true, sys::window_size())
        .map_err(|error| Failure::with_help(&error, "create", NO_CONTAINER))?;
    let id = create_container(client, flags, &request.body).await?;
    line(&id)
}

/// `sampan run`.
pub(crate) async fn run(client: &Client, arguments: RunArguments) -> Result<()> {
    let flags = &arguments.container;
    let refused = |error: String| Failure::with_help(&error, "run", NO_CONTAINER);
    let keys = detach::parse(arguments.detach_keys.as_deref().unwrap_or_default())
        .map_err(|error| refused(error.to_string()))?;
    if arguments.detach && !flags.attach.is_empty() {
        return Err(refused(
            "conflicting options: cannot specify both --attach and --detach".to_owned(),
        ));
    }
    let request = create::request(flags, !arguments.detach, sys::window_size()).map_err(refused)?;
    check_terminal(request.stdin, flags.tty)?;
    let id = create_container(client, flags, &request.body)
        .await
        .map_err(told)?;
    Started {
        client,
        id,
        rm: flags.rm,
        sig_proxy: arguments.sig_proxy,
        keys,
    }
    .run(&request, flags.tty)
    .await
}

/// A container with a terminal takes its input from one.
pub(crate) fn check_terminal(stdin: bool, tty: bool) -> Result<()> {
    if stdin && tty && !session::on_terminal().0 {
        return Err(Failure::new("the input device is not a TTY"));
    }
    Ok(())
}

/// A container that was created to be run now.
struct Started<'a> {
    client: &'a Client,
    id: String,
    rm: bool,
    sig_proxy: bool,
    keys: Vec<u8>,
}

impl Started<'_> {
    async fn run(self, request: &Request, tty: bool) -> Result<()> {
        let Self {
            client,
            id,
            rm,
            sig_proxy,
            keys,
        } = self;
        let attached = request.stdin || request.stdout || request.stderr;
        if !attached {
            client
                .post(&Target::new(&["containers", &id, "start"]))
                .await
                .map_err(told)?;
            return line(&id);
        }
        let proxy = if sig_proxy {
            Some(Proxy::signals(client.clone(), id.clone())?)
        } else {
            None
        };
        let attach = Target::new(&["containers", &id, "attach"])
            .with("stream", 1)
            .with_flag("stdin", request.stdin)
            .with_flag("stdout", request.stdout)
            .with_flag("stderr", request.stderr);
        let connection = client.hijack(&attach, None).await.map_err(told)?;
        let wait = Target::new(&["containers", &id, "wait"])
            .with("condition", if rm { "removed" } else { "next-exit" });
        let exit = client.post_stream(&wait, &[]).await.map_err(told)?;
        if let Err(error) = client.post(&Target::new(&["containers", &id, "start"])).await {
            if rm {
                // The engine removes it now; the name is free once that is told.
                let _ = exit.json::<ContainerWaitResponse>().await;
            }
            return Err(told(error));
        }
        if let Some(proxy) = &proxy {
            proxy.started();
        }
        let streams = Streams {
            tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            detach_keys: keys,
        };
        if session::carry(client, Process::Container(id.clone()), connection, &streams).await?
            == End::Detached
        {
            return Ok(());
        }
        exit_code(exit.json().await?)
    }
}

/// The end of a command whose container has exited.
pub(crate) fn exit_code(exit: ContainerWaitResponse) -> Result<()> {
    if let Some(message) = exit
        .error
        .and_then(|error| error.message)
        .filter(|message| !message.is_empty())
    {
        tell(&format!("Error waiting for container: {message}"));
        return Err(Failure {
            message: String::new(),
            code: NO_CONTAINER,
        });
    }
    if exit.status_code == 0 {
        Ok(())
    } else {
        Err(Failure::exit(exit.status_code))
    }
}

/// An error of the engine in the words of `run` and `create`.
fn told(error: ClientError) -> Failure {
    let message = error.to_string();
    let code = start_code(&message);
    Failure::with_help(&message, "run", code)
}

/// Creates a container, pulling its image first where that is needed; gives its ID.
async fn create_container(
    client: &Client,
    flags: &ContainerFlags,
    body: &Value,
) -> Result<String, ClientError> {
    let id_file = flags.cidfile.as_deref().map(IdFile::make).transpose()?;
    let image = flags
        .image_and_command
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let target = Target::new(&["containers", "create"])
        .with_some("name", flags.name.as_ref())
        .with_some("platform", flags.platform.as_ref());
    if flags.pull == "always" {
        pull(client, image, flags).await?;
    }
    let created = match client.post_json::<ContainerCreateResponse>(&target, body).await {
        Err(error)
            if error.status() == Some(StatusCode::NOT_FOUND)
                && is_about_the_image(&error.to_string())
                && flags.pull == "missing" =>
        {
            if !flags.quiet {
                tell(&format!(
                    "Unable to find image '{}' locally",
                    reference::with_default_tag(image)
                ));
            }
            pull(client, image, flags).await?;
            client.post_json(&target, body).await?
        }
        other => other?,
    };
    for warning in &created.warnings {
        tell(&format!("WARNING: {warning}"));
    }
    if let Some(file) = id_file {
        file.write(&created.id)?;
    }
    Ok(created.id)
}

async fn pull(client: &Client, image: &str, flags: &ContainerFlags) -> Result<(), ClientError> {
    let to = (!flags.quiet).then_some(To::Stderr);
    images::fetch(client, image, flags.platform.as_deref(), to).await
}

/// The file of `--cidfile`, which must not be there before; it goes again when no container was created.
struct IdFile {
    path: PathBuf,
    file: std::fs::File,
    written: bool,
}

impl IdFile {
    fn make(path: &Path) -> Result<Self, ClientError> {
        let file = std::fs::File::create_new(path).map_err(|error| {
            let shown = path.display();
            ClientError::Progress(if error.kind() == std::io::ErrorKind::AlreadyExists {
                format!(
                    "container ID file found, make sure the other container isn't running or delete {shown}"
                )
            } else {
                format!("failed to create the container ID file: {shown}: {error}")
            })
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            written: false,
        })
    }

    fn write(mut self, id: &str) -> Result<(), ClientError> {
        self.file.write_all(id.as_bytes())?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether a pull can help: there is no image of that name, or none for the platform that was asked for.
fn is_about_the_image(error: &str) -> bool {
    error.contains("No such image") || error.contains("does not provide the specified platform")
}
