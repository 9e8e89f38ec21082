//! Commands that do one thing to each of several containers and name those that it was done to.

use bollard_stubs::models::ContainerWaitResponse;

use crate::arguments::{KillArguments, Names, RenameArguments, RmArguments, StopArguments};
use crate::client::{Client, Target};
use crate::commands::Several;
use crate::failure::Result;
use crate::output::{line, tell};

/// `stop` and `restart`.
pub(crate) async fn stop(client: &Client, arguments: StopArguments, what: &str) -> Result<()> {
    let target = |name: &str| {
        Target::new(&["containers", name, what])
            .with_some("signal", arguments.signal.as_ref())
            .with_some("t", arguments.timeout)
    };
    post_each(client, &arguments.names.containers, target).await
}

/// `kill`.
pub(crate) async fn kill(client: &Client, arguments: KillArguments) -> Result<()> {
    let target = |name: &str| {
        Target::new(&["containers", name, "kill"]).with_some("signal", arguments.signal.as_ref())
    };
    post_each(client, &arguments.names.containers, target).await
}

/// `pause` and `unpause`.
pub(crate) async fn each(client: &Client, names: Names, what: &str) -> Result<()> {
    post_each(client, &names.containers, |name| {
        Target::new(&["containers", name, what])
    })
    .await
}

/// All at once, so that the grace of one is not added to that of the next; told in the order they were named.
async fn post_each(client: &Client, names: &[String], target: impl Fn(&str) -> Target) -> Result<()> {
    let mut tasks = Vec::new();
    for name in names {
        let (client, target) = (client.clone(), target(name));
        tasks.push((name, tokio::spawn(async move { client.post(&target).await })));
    }
    let mut several = Several::default();
    for (name, task) in tasks {
        match task.await {
            Ok(Ok(_)) => line(name)?,
            Ok(Err(error)) => several.note(&error),
            Err(error) => {
                several.failed = true;
                tell(&error.to_string());
            }
        }
    }
    several.done()
}

/// `rm`.
pub(crate) async fn remove(client: &Client, arguments: RmArguments) -> Result<()> {
    let mut several = Several::default();
    for name in &arguments.containers {
        let name = name.trim_matches('/');
        let target = Target::new(&["containers", name])
            .with_flag("force", arguments.force)
            .with_flag("link", arguments.link)
            .with_flag("v", arguments.volumes);
        match client.delete(&target).await {
            Ok(_) => line(name)?,
            // With --force what is not there is as wished, and told all the same.
            Err(error) if arguments.force && error.status() == Some(hyper::StatusCode::NOT_FOUND) => {
                tell(&error.to_string());
            }
            Err(error) => several.note(&error),
        }
    }
    several.done()
}

/// `rename`.
pub(crate) async fn rename(client: &Client, arguments: RenameArguments) -> Result<()> {
    let target =
        Target::new(&["containers", &arguments.container, "rename"]).with("name", &arguments.new_name);
    client.post(&target).await?;
    Ok(())
}

/// `wait`: the exit codes, one a line.
pub(crate) async fn wait(client: &Client, names: Names) -> Result<()> {
    let mut several = Several::default();
    for name in &names.containers {
        let target = Target::new(&["containers", name, "wait"]);
        match client.post_for::<ContainerWaitResponse>(&target).await {
            Ok(exit) => match exit.error.and_then(|error| error.message) {
                Some(message) => {
                    several.failed = true;
                    tell(&message);
                }
                None => line(&exit.status_code.to_string())?,
            },
            Err(error) => several.note(&error),
        }
    }
    several.done()
}
