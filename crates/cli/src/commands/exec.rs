//! `exec`.

use bollard_stubs::models::ExecInspectResponse;
use serde_json::{Value, json};

use crate::arguments::ExecArguments;
use crate::client::{Client, Target};
use crate::commands::run::check_terminal;
use crate::failure::{Failure, Result};
use crate::session::{self, End, Process, Streams};
use crate::{create, detach, sys};

/// `sampan exec`.
pub(crate) async fn run(client: &Client, arguments: ExecArguments) -> Result<()> {
    let attached = !arguments.detach;
    let stdin = attached && arguments.interactive;
    check_terminal(stdin, arguments.tty)?;
    let text = arguments.detach_keys.as_deref().unwrap_or_default();
    let keys = detach::parse(text).map_err(|error| Failure::new(error.to_string()))?;
    let size = sys::window_size();
    let container = arguments
        .container_and_command
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let body = create::exec_body(&arguments, size).map_err(Failure::new)?;
    let created: Value = client
        .post_json(&Target::new(&["containers", container, "exec"]), &body)
        .await?;
    let id = created.get("Id").and_then(Value::as_str).unwrap_or_default();
    if id.is_empty() {
        return Err(Failure::new("exec ID empty"));
    }
    let mut start = json!({ "Detach": arguments.detach, "Tty": arguments.tty });
    if let (Some((rows, columns)), true, Some(members)) = (size, arguments.tty, start.as_object_mut()) {
        members.insert("ConsoleSize".to_owned(), json!([rows, columns]));
    }
    let target = Target::new(&["exec", id, "start"]);
    if arguments.detach {
        client.post_json_only(&target, &start).await?;
        return Ok(());
    }
    let connection = client.hijack(&target, Some(&start)).await?;
    let streams = Streams {
        tty: arguments.tty,
        stdin,
        stdout: true,
        stderr: true,
        detach_keys: keys,
    };
    if session::carry(client, Process::Exec(id.to_owned()), connection, &streams).await? == End::Detached {
        return Ok(());
    }
    let exec: ExecInspectResponse = client.get(&Target::new(&["exec", id, "json"])).await?;
    match exec.exit_code {
        Some(0) | None => Ok(()),
        Some(code) => Err(Failure::exit(code)),
    }
}
