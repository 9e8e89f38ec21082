//! `attach`.

use bollard_stubs::models::{ContainerInspectResponse, ContainerStateStatusEnum};

use crate::arguments::AttachArguments;
use crate::client::{Client, Target};
use crate::commands::run::{check_terminal, exit_code};
use crate::detach;
use crate::failure::{Failure, Result};
use crate::session::{self, End, Process, Proxy, Streams};

/// `sampan attach`.
pub(crate) async fn run(client: &Client, arguments: AttachArguments) -> Result<()> {
    let name = &arguments.container;
    // The waiter comes first, so that an exit between here and the attachment is not missed.
    let exit = client
        .post_stream(&Target::new(&["containers", name, "wait"]), &[])
        .await?;
    let inspected: ContainerInspectResponse = client.get(&Target::new(&["containers", name, "json"])).await?;
    let id = inspected.id.unwrap_or_default();
    match inspected.state.and_then(|state| state.status) {
        Some(ContainerStateStatusEnum::RUNNING) => {}
        Some(ContainerStateStatusEnum::PAUSED) => {
            return Err(Failure::new(
                "cannot attach to a paused container, unpause it first",
            ));
        }
        Some(ContainerStateStatusEnum::RESTARTING) => {
            return Err(Failure::new(
                "cannot attach to a restarting container, wait until it is running",
            ));
        }
        _ => {
            return Err(Failure::new(
                "cannot attach to a stopped container, start it first",
            ));
        }
    }
    let config = inspected.config.unwrap_or_default();
    let tty = config.tty.unwrap_or(false);
    let stdin = !arguments.no_stdin && config.open_stdin.unwrap_or(false);
    check_terminal(stdin, tty)?;
    let text = arguments.term.detach_keys.as_deref().unwrap_or_default();
    let keys = detach::parse(text).map_err(|error| Failure::new(error.to_string()))?;
    let target = Target::new(&["containers", &id, "attach"])
        .with("stream", 1)
        .with("stdout", 1)
        .with("stderr", 1)
        .with_flag("stdin", stdin)
        .with_some("detachKeys", arguments.term.detach_keys.as_ref());
    let connection = client.hijack(&target, None).await?;
    let proxy = if arguments.term.sig_proxy && !tty {
        Some(Proxy::signals(client.clone(), id.clone())?)
    } else {
        None
    };
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
