//! `explain`: the command itself, and then its journey.

use std::hash::{BuildHasher, RandomState};

use journey::{Trace, TraceId};

use crate::arguments::{ExplainArguments, ExplainCommand, Language};
use crate::client::Client;
use crate::commands::images;
use crate::explain::{Journal, Server, page};
use crate::failure::{Failure, Result};
use crate::output::{line, print, tell};

/// `sampan explain`.
pub(crate) async fn run(client: &Client, arguments: ExplainArguments) -> Result<()> {
    let words = page::words(arguments.lang.unwrap_or_else(of_environment));
    let trace = Trace::new(new_id()?);
    let begun_ns = journey::now_ns();
    let (name, done) = match arguments.command {
        ExplainCommand::Version => {
            let asked = journey::within(Some(trace.clone()), Server::ask(client)).await?;
            return match arguments.format {
                Some(_) => line(&asked.json()?),
                None => print(&page::server(&asked, words)),
            };
        }
        ExplainCommand::Run(arguments) => {
            let running = super::run::run(client, *arguments);
            (typed("run"), journey::within(Some(trace.clone()), running).await)
        }
        ExplainCommand::Pull(arguments) => {
            let pulling = images::pull(client, arguments);
            (typed("pull"), journey::within(Some(trace.clone()), pulling).await)
        }
    };
    let took_ns = journey::now_ns().saturating_sub(begun_ns);
    match Journal::gather(client, &trace, begun_ns, took_ns).await {
        Ok(journal) => match arguments.format {
            Some(_) => print(&journal.json_lines()?)?,
            None => print(&page::journey(&name, &journal, words))?,
        },
        // The command itself is done, and its own end is what counts.
        Err(error) => tell(&format!("What happened cannot be told: {}", error.message)),
    }
    done
}

/// The command as it was typed, from its name on.
fn typed(name: &str) -> String {
    let arguments: Vec<String> = std::env::args_os()
        .skip_while(|argument| argument != "explain")
        .skip_while(|argument| argument != name)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    arguments.join(" ")
}

/// The language of messages as POSIX has it (XBD 8.2): `LC_ALL`, `LC_MESSAGES`, `LANG`, the first that is set.
fn of_environment() -> Language {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    match set {
        Some(value) if value.to_string_lossy().starts_with("ko") => Language::Ko,
        _ => Language::En,
    }
}

/// A number that no other trace of this service has, which is all that it is good for.
fn new_id() -> Result<TraceId> {
    let half =
        |salt: u8| u128::from(RandomState::new().hash_one((salt, std::process::id(), journey::now_ns())));
    TraceId::new(half(1) << 64 | half(2)).ok_or_else(|| Failure::new("no number for the trace"))
}
