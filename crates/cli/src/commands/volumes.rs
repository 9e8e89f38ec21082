//! `volume`.

use bollard_stubs::models::{Volume, VolumeCreateRequest, VolumeListResponse};

use crate::arguments::{ObjectListArguments, ObjectRemoveArguments, VolumeCommand, VolumeCreateArguments};
use crate::client::{Client, Target};
use crate::commands::{Several, filters, inspect, prune};
use crate::failure::Result;
use crate::format::{DEFAULT_VOLUMES, Listing, VOLUME_HEADER, volume_row};
use crate::output::{line, print};
use crate::values::pairs;

/// `sampan volume`.
pub(crate) async fn run(client: &Client, command: VolumeCommand) -> Result<()> {
    match command {
        VolumeCommand::Create(arguments) => create(client, arguments).await,
        VolumeCommand::Inspect(arguments) => inspect::named(client, "volume", arguments, false).await,
        VolumeCommand::Ls(arguments) => list(client, arguments).await,
        VolumeCommand::Prune(arguments) => prune::volumes(client, &arguments).await,
        VolumeCommand::Rm(arguments) => remove(client, arguments).await,
    }
}

async fn create(client: &Client, arguments: VolumeCreateArguments) -> Result<()> {
    let request = VolumeCreateRequest {
        name: arguments.volume,
        driver: Some(arguments.driver),
        driver_opts: Some(pairs(&arguments.opt)),
        labels: Some(pairs(&arguments.label)),
        cluster_volume_spec: None,
    };
    let volume: Volume = client
        .post_json(&Target::new(&["volumes", "create"]), &request)
        .await?;
    line(&volume.name)
}

async fn list(client: &Client, arguments: ObjectListArguments) -> Result<()> {
    let listing = Listing::new(arguments.template("{{.Name}}"), DEFAULT_VOLUMES)?;
    let target = Target::new(&["volumes"]).with_some("filters", filters(&arguments.filter)?);
    let listed: VolumeListResponse = client.get(&target).await?;
    let mut volumes = listed.volumes.unwrap_or_default();
    volumes.sort_by(|first, second| first.name.cmp(&second.name));
    print(&listing.render(VOLUME_HEADER, volumes.iter().map(volume_row))?)
}

async fn remove(client: &Client, arguments: ObjectRemoveArguments) -> Result<()> {
    let mut several = Several::default();
    for name in &arguments.names {
        let target = Target::new(&["volumes", name]).with_flag("force", arguments.force);
        match client.delete(&target).await {
            Ok(_) => line(name)?,
            Err(error) => several.note(&error),
        }
    }
    several.done()
}
