//! The commands.

mod attach;
mod completion;
mod containers;
mod context;
mod cp;
mod dial;
mod doctor;
mod events;
mod exec;
mod explain;
mod files;
mod images;
mod inspect;
mod lists;
mod login;
mod logs;
mod machine;
mod manual;
mod networks;
mod prune;
mod run;
mod search;
mod start;
mod stats;
mod system;
mod version;
mod volumes;

use crate::arguments::{Arguments, Command, ContainerCommand, ImageCommand, ServiceAction, SystemCommand};
use crate::client::{Client, ClientError};
use crate::failure::{Failure, Result};
use crate::host::Host;
use crate::output::tell;
use crate::{service, session};

/// Runs a command to its end.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Service(arguments) if arguments.action.is_none() => return service::run(*arguments),
        Command::Vmm => return Err(Failure::new("sampan vmm is started by the service alone")),
        Command::Completion { shell } => return completion::run(shell),
        Command::Manual { folder } => return manual::run(&folder),
        // These need no engine, and one that cannot be reached keeps nobody from choosing another.
        Command::Context(command) => return context::run(&arguments.engine, command),
        _ => {}
    }
    session::restore_on_panic();
    let client = Client::new(Host::resolve(&arguments.engine)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no runtime: {error}")))?;
    let done = runtime.block_on(client_command(client, arguments.command));
    // A thread that still reads stdin ends with the process.
    runtime.shutdown_background();
    done
}

async fn client_command(client: Client, command: Command) -> Result<()> {
    match command {
        Command::Container(command) => container(&client, command).await,
        Command::Image(command) => image(&client, command).await,
        Command::System(command) => match command {
            SystemCommand::DialStdio => dial::run(&client).await,
            SystemCommand::Df(arguments) => system::disk_usage(&client, arguments).await,
            SystemCommand::Events(arguments) => events::run(&client, arguments).await,
            SystemCommand::Info(arguments) => version::info(&client, arguments).await,
            SystemCommand::Prune(arguments) => prune::system(&client, &arguments).await,
        },
        Command::Network(command) => networks::run(&client, command).await,
        Command::Volume(command) => volumes::run(&client, command).await,
        Command::Run(arguments) => run::run(&client, *arguments).await,
        Command::Create(arguments) => run::create(&client, *arguments).await,
        Command::Exec(arguments) => exec::run(&client, arguments).await,
        Command::Start(arguments) => start::run(&client, arguments).await,
        Command::Attach(arguments) => attach::run(&client, arguments).await,
        Command::Logs(arguments) => logs::run(&client, arguments).await,
        Command::Ps(arguments) => lists::containers(&client, arguments).await,
        Command::Images(arguments) => lists::images(&client, arguments).await,
        Command::Stop(arguments) => containers::stop(&client, arguments, "stop").await,
        Command::Restart(arguments) => containers::stop(&client, arguments, "restart").await,
        Command::Kill(arguments) => containers::kill(&client, arguments).await,
        Command::Rm(arguments) => containers::remove(&client, arguments).await,
        Command::Rename(arguments) => containers::rename(&client, arguments).await,
        Command::Pause(names) => containers::each(&client, names, "pause").await,
        Command::Unpause(names) => containers::each(&client, names, "unpause").await,
        Command::Wait(names) => containers::wait(&client, names).await,
        Command::Pull(arguments) => images::pull(&client, arguments).await,
        Command::Push(arguments) => images::push(&client, arguments).await,
        Command::Rmi(arguments) => images::remove(&client, arguments).await,
        Command::Commit(arguments) => images::commit(&client, arguments).await,
        Command::Import(arguments) => images::import(&client, arguments).await,
        Command::Cp(arguments) => cp::run(&client, arguments).await,
        Command::Diff(arguments) => files::diff(&client, arguments).await,
        Command::Export(arguments) => files::export(&client, arguments).await,
        Command::Port(arguments) => files::port(&client, arguments).await,
        Command::Stats(arguments) => stats::run(&client, arguments).await,
        Command::Top(arguments) => files::top(&client, arguments).await,
        Command::Update(arguments) => files::update(&client, arguments).await,
        Command::History(arguments) => lists::history(&client, arguments).await,
        Command::Tag(arguments) => images::tag(&client, arguments).await,
        Command::Load(arguments) => images::load(&client, arguments).await,
        Command::Save(arguments) => images::save(&client, arguments).await,
        Command::Login(arguments) => login::log_in(&client, arguments).await,
        Command::Logout(arguments) => login::log_out(&arguments).await,
        Command::Search(arguments) => search::run(&client, arguments).await,
        Command::Inspect(arguments) => inspect::run(&client, arguments).await,
        Command::Events(arguments) => events::run(&client, arguments).await,
        Command::Version(arguments) => version::run(&client, arguments).await,
        Command::Info(arguments) => version::info(&client, arguments).await,
        Command::Explain(arguments) => explain::run(&client, arguments).await,
        Command::Machine(command) => machine::run(&client, command).await,
        Command::Doctor(arguments) => doctor::run(&client, arguments).await,
        Command::Service(arguments) => match arguments.action {
            Some(ServiceAction::Stop) => machine::stop_service(&client).await,
            None => Ok(()),
        },
        // These need no engine and were run before.
        Command::Vmm | Command::Completion { .. } | Command::Manual { .. } | Command::Context(_) => Ok(()),
    }
}

/// The commands about containers, each the same as the one that can be given alone.
async fn container(client: &Client, command: ContainerCommand) -> Result<()> {
    match command {
        ContainerCommand::Run(arguments) => run::run(client, *arguments).await,
        ContainerCommand::Commit(arguments) => images::commit(client, arguments).await,
        ContainerCommand::Cp(arguments) => cp::run(client, arguments).await,
        ContainerCommand::Diff(arguments) => files::diff(client, arguments).await,
        ContainerCommand::Export(arguments) => files::export(client, arguments).await,
        ContainerCommand::Port(arguments) => files::port(client, arguments).await,
        ContainerCommand::Stats(arguments) => stats::run(client, arguments).await,
        ContainerCommand::Top(arguments) => files::top(client, arguments).await,
        ContainerCommand::Update(arguments) => files::update(client, arguments).await,
        ContainerCommand::Create(arguments) => run::create(client, *arguments).await,
        ContainerCommand::Exec(arguments) => exec::run(client, arguments).await,
        ContainerCommand::Start(arguments) => start::run(client, arguments).await,
        ContainerCommand::Attach(arguments) => attach::run(client, arguments).await,
        ContainerCommand::Logs(arguments) => logs::run(client, arguments).await,
        ContainerCommand::Ls(arguments) => lists::containers(client, arguments).await,
        ContainerCommand::Stop(arguments) => containers::stop(client, arguments, "stop").await,
        ContainerCommand::Restart(arguments) => containers::stop(client, arguments, "restart").await,
        ContainerCommand::Kill(arguments) => containers::kill(client, arguments).await,
        ContainerCommand::Rm(arguments) => containers::remove(client, arguments).await,
        ContainerCommand::Rename(arguments) => containers::rename(client, arguments).await,
        ContainerCommand::Pause(names) => containers::each(client, names, "pause").await,
        ContainerCommand::Unpause(names) => containers::each(client, names, "unpause").await,
        ContainerCommand::Wait(names) => containers::wait(client, names).await,
        ContainerCommand::Inspect(arguments) => inspect::container(client, arguments).await,
        ContainerCommand::Prune(arguments) => prune::containers(client, &arguments).await,
    }
}

/// The commands about images.
async fn image(client: &Client, command: ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Pull(arguments) => images::pull(client, arguments).await,
        ImageCommand::Push(arguments) => images::push(client, arguments).await,
        ImageCommand::Ls(arguments) => lists::images(client, arguments).await,
        ImageCommand::Rm(arguments) => images::remove(client, arguments).await,
        ImageCommand::Tag(arguments) => images::tag(client, arguments).await,
        ImageCommand::Import(arguments) => images::import(client, arguments).await,
        ImageCommand::Load(arguments) => images::load(client, arguments).await,
        ImageCommand::Save(arguments) => images::save(client, arguments).await,
        ImageCommand::History(arguments) => lists::history(client, arguments).await,
        ImageCommand::Inspect(arguments) => inspect::image(client, arguments).await,
        ImageCommand::Prune(arguments) => prune::images(client, &arguments).await,
    }
}

/// What several names came to: each error is told, and one makes the command fail.
#[derive(Debug, Default)]
struct Several {
    failed: bool,
}

impl Several {
    fn note(&mut self, error: &ClientError) {
        self.failed = true;
        tell(&error.to_string());
    }

    fn done(self) -> Result<()> {
        if self.failed {
            Err(Failure {
                message: String::new(),
                code: 1,
            })
        } else {
            Ok(())
        }
    }
}

/// Filters `name=value` as the engine takes them.
fn filters(texts: &[String]) -> Result<Option<String>> {
    if texts.is_empty() {
        return Ok(None);
    }
    let mut filters: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure { message: format!("invalid argument \"{text}\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"), code: 125 })?;
        filters
            .entry(name.trim().to_ascii_lowercase())
            .or_default()
            .push(value.trim().to_owned());
    }
    serde_json::to_string(&filters)
        .map(Some)
        .map_err(|error| Failure::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_one_name_are_gathered() {
        let texts = [
            "status=exited".to_owned(),
            "status=created".to_owned(),
            "label=a=b".to_owned(),
        ];
        assert_eq!(
            filters(&texts).unwrap().unwrap(),
            r#"{"label":["a=b"],"status":["exited","created"]}"#
        );
        assert!(filters(&["status".to_owned()]).is_err());
    }
}
