//! `machine start|stop|inspect`.

use engine::Architecture;
use serde_json::Value;

use crate::arguments::{MachineCommand, MachineInspectArguments, MachineStartArguments};
use crate::client::{Client, Target};
use crate::commands::inspect;
use crate::failure::{Failure, Result};
use crate::output::{line, print};
use crate::settings::{self, Settings};

/// `sampan machine`.
pub(crate) async fn run(client: &Client, command: MachineCommand) -> Result<()> {
    match command {
        MachineCommand::Start(arguments) => start(client, &arguments).await,
        MachineCommand::Stop(arguments) => {
            client.post(&machine(arguments.arch, "stop")).await?;
            Ok(())
        }
        MachineCommand::Inspect(arguments) => show(client, &arguments).await,
    }
}

fn machine(architecture: Option<Architecture>, what: &str) -> Target {
    let name = architecture.map_or("default", Architecture::docker_name);
    Target::new(&["sampan", "machines", name, what])
}

async fn start(client: &Client, arguments: &MachineStartArguments) -> Result<()> {
    let asked = arguments.settings();
    if asked != Settings::default() {
        keep(client, asked).await?;
    }
    let report: Value = client.post_for(&machine(arguments.arch, "start")).await?;
    let text = |name: &str| report.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| report.get(name).and_then(Value::as_u64);
    let took = number("StartMs")
        .map(|ms| format!(" in {ms} ms"))
        .unwrap_or_default();
    let how = match text("Accelerator") {
        "" => String::new(),
        how => format!(" by {how}"),
    };
    line(&format!(
        "linux/{} runs Linux {}{how}, started{took}",
        text("Architecture"),
        text("KernelRelease")
    ))
}

/// `service stop`. A service that does not run is as wished.
pub(crate) async fn stop_service(client: &Client) -> Result<()> {
    if !client.host().is_here() {
        return Err(Failure::new(format!(
            "the engine of context \"{}\" is another computer's, where its service is stopped: `sampan -c default \
             service stop` stops the one here",
            client.host().context
        )));
    }
    if client.is_served().await {
        client
            .post_until_gone(&Target::new(&["sampan", "service", "stop"]))
            .await?;
    }
    Ok(())
}

/// Keeps settings, and lets the service start again with them.
async fn keep(client: &Client, asked: Settings) -> Result<()> {
    if !client.host().own {
        return Err(Failure::new(
            "settings can be kept for this user's own service only, not for another engine",
        ));
    }
    let home = settings::home()?;
    let before = Settings::load(&home)?;
    let after = before.clone().overlaid(asked);
    // Settings that cannot be are refused before they are kept.
    after.engine(home.clone())?;
    if after == before {
        return Ok(());
    }
    after.store(&home)?;
    // A service that does not run yet starts with them; one that runs is asked to leave.
    if client.is_served().await {
        client
            .post_until_gone(&Target::new(&["sampan", "service", "stop"]))
            .await
            .map_err(|error| {
                Failure::new(format!(
                    "the settings are kept, and the service goes on with those from before: {error}"
                ))
            })?;
    }
    Ok(())
}

async fn show(client: &Client, arguments: &MachineInspectArguments) -> Result<()> {
    let report: Value = client.get(&machine(arguments.arch, "json")).await?;
    match inspect::template(arguments.format.as_deref())? {
        Some(template) => line(&inspect::rendered(&template, &report)?),
        None => print(&inspect::listed(&report)?),
    }
}
