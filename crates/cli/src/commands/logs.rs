//! `logs`.

use std::time::SystemTime;

use bollard_stubs::models::ContainerInspectResponse;

use crate::arguments::LogsArguments;
use crate::client::{Client, Target};
use crate::failure::{Failure, Result};
use crate::session::receive_body;
use crate::values::point_in_time;

/// `sampan logs`.
pub(crate) async fn run(client: &Client, arguments: LogsArguments) -> Result<()> {
    let name = &arguments.container;
    let inspected: ContainerInspectResponse = client.get(&Target::new(&["containers", name, "json"])).await?;
    let time = |text: &Option<String>, name: &str| {
        let read = |text: &String| point_in_time(text, SystemTime::now());
        text.as_ref()
            .map(read)
            .transpose()
            .map_err(|error| Failure::new(format!("invalid value for {name:?}: {error}")))
    };
    let target = Target::new(&["containers", &inspected.id.unwrap_or_default(), "logs"])
        .with("stdout", 1)
        .with("stderr", 1)
        .with("tail", &arguments.tail)
        .with_flag("follow", arguments.follow)
        .with_flag("timestamps", arguments.timestamps)
        .with_flag("details", arguments.details)
        .with_some("since", time(&arguments.since, "since")?)
        .with_some("until", time(&arguments.until, "until")?);
    let body = client.get_stream(&target).await?;
    receive_body(
        body,
        inspected.config.and_then(|config| config.tty).unwrap_or(false),
    )
    .await
}
