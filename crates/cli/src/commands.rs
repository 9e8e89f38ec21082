//! The commands.

mod attach;
mod completion;
mod containers;
mod doctor;
mod events;
mod exec;
mod images;
mod inspect;
mod lists;
mod logs;
mod machine;
mod run;
mod start;
mod version;

use crate::arguments::{Arguments, Command, ServiceAction};
use crate::client::{Client, ClientError};
use crate::failure::{Failure, Result};
use crate::output::tell;
use crate::{service, session, settings};

/// Runs a command to its end.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Service(arguments) if arguments.action.is_none() => return service::run(*arguments),
        Command::Vmm => return Err(Failure::new("sampan vmm is started by the service alone")),
        Command::Completion { shell } => return completion::run(shell),
        _ => {}
    }
    session::restore_on_panic();
    let client = Client::new(settings::host(arguments.host.as_deref())?);
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
        Command::Rmi(arguments) => images::remove(&client, arguments).await,
        Command::Tag(arguments) => images::tag(&client, arguments).await,
        Command::Load(arguments) => images::load(&client, arguments).await,
        Command::Save(arguments) => images::save(&client, arguments).await,
        Command::Inspect(arguments) => inspect::run(&client, arguments).await,
        Command::Events(arguments) => events::run(&client, arguments).await,
        Command::Version(arguments) => version::run(&client, arguments).await,
        Command::Info(arguments) => version::info(&client, arguments).await,
        Command::Machine(command) => machine::run(&client, command).await,
        Command::Doctor(arguments) => doctor::run(&client, arguments).await,
        Command::Service(arguments) => match arguments.action {
            Some(ServiceAction::Stop) => machine::stop_service(&client).await,
            None => Ok(()),
        },
        // These need no engine and were run before.
        Command::Vmm | Command::Completion { .. } => Ok(()),
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
