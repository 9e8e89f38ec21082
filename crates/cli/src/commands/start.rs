//! `start`, and its attached form.

use bollard_stubs::models::ContainerInspectResponse;

use crate::arguments::StartArguments;
use crate::client::{Client, ClientError, Target};
use crate::commands::Several;
use crate::commands::run::{check_terminal, exit_code};
use crate::detach;
use crate::failure::{Failure, Result, start_code};
use crate::output::{line, tell};
use crate::session::{self, End, Process, Proxy, Streams};

/// `sampan start`.
pub(crate) async fn run(client: &Client, arguments: StartArguments) -> Result<()> {
    if !(arguments.attach || arguments.interactive) {
        let mut several = Several::default();
        for name in &arguments.names.containers {
            match client.post(&Target::new(&["containers", name, "start"])).await {
                Ok(_) => line(name)?,
                Err(error) => several.note(&error),
            }
        }
        if several.failed {
            tell(&format!(
                "failed to start containers: {}",
                arguments.names.containers.join(", ")
            ));
        }
        return several.done();
    }
    let [name] = arguments.names.containers.as_slice() else {
        return Err(Failure::new(
            "you cannot start and attach multiple containers at once",
        ));
    };
    attached(client, &arguments, name).await
}

async fn attached(client: &Client, arguments: &StartArguments, name: &str) -> Result<()> {
    let inspected: ContainerInspectResponse = client.get(&Target::new(&["containers", name, "json"])).await?;
    let id = inspected.id.unwrap_or_default();
    let config = inspected.config.unwrap_or_default();
    let (tty, open_stdin) = (config.tty.unwrap_or(false), config.open_stdin.unwrap_or(false));
    let removed = inspected
        .host_config
        .and_then(|host| host.auto_remove)
        .unwrap_or(false);
    let stdin = arguments.interactive && open_stdin;
    check_terminal(stdin, tty)?;
    let keys = detach::parse(arguments.term.detach_keys.as_deref().unwrap_or_default())
        .map_err(|error| Failure::new(error.to_string()))?;
    let proxy = if arguments.term.sig_proxy && !tty {
        Some(Proxy::signals(client.clone(), id.clone())?)
    } else {
        None
    };
    let attach = Target::new(&["containers", &id, "attach"])
        .with("stream", 1)
        .with("stdout", 1)
        .with("stderr", 1)
        .with_flag("stdin", stdin);
    let connection = client.hijack(&attach, None).await?;
    let condition = if removed { "removed" } else { "next-exit" };
    let wait = Target::new(&["containers", &id, "wait"]).with("condition", condition);
    let exit = client.post_stream(&wait, &[]).await?;
    let started = client.post(&Target::new(&["containers", &id, "start"])).await;
    started.map_err(|error| failed_start(&error))?;
    if let Some(proxy) = &proxy {
        proxy.started();
    }
    let streams = Streams {
        tty,
        stdin,
        stdout: true,
        stderr: true,
        detach_keys: keys,
    };
    if session::carry(client, Process::Container(id.clone()), connection, &streams).await? == End::Detached {
        return Ok(());
    }
    exit_code(exit.json().await?)
}

fn failed_start(error: &ClientError) -> Failure {
    let message = error.to_string();
    let code = start_code(&message);
    // As in Docker, only a program that could not be executed has a code of its own here.
    Failure {
        code: if code == 125 { 1 } else { code },
        message,
    }
}
