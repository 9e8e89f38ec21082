//! Telling what happened, from the record that client, service, machine and guest made of it ([`journey`]).
//!
//! ```text
//! Journal   the record: the client's own steps and those of the service, on one clock
//! Server    what client and server are
//! page      a journal or a server as a page, in the words of a language
//! ```

mod english;
mod journal;
mod korean;
pub(crate) mod page;
mod server;
mod words;
mod wrap;

pub(crate) use journal::Journal;
pub(crate) use server::Server;

/// Why the server is `linux/<architecture>`, for `sampan version`.
pub(crate) fn why(server: &Server) -> String {
    use words::Words;
    format!(
        "Why linux/{}?\n{}",
        server.machine.architecture,
        english::English.why(server).join("\n")
    )
}
