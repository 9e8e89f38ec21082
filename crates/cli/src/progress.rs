//! The progress of a pull, push or load (moby `pkg/jsonmessage`): plain lines, or on a terminal a line for each layer
//! that is written over as it goes on.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::client::{Body, ClientError};
use crate::failure::Result;
use crate::sys;

/// The most layers that have a line of their own.
const MOST_LINES: usize = 1024;

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Stdout,
    Stderr,
}

/// Shows a stream of progress until its end. An error in the stream is the error of the work.
pub(crate) async fn show(body: Body, to: To) -> Result<()> {
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let (out, terminal): (&mut dyn Write, bool) = match to {
        To::Stdout => (&mut stdout, std::io::stdout().is_terminal()),
        To::Stderr => (&mut stderr, std::io::stderr().is_terminal()),
    };
    let wide = sys::window_size().is_some_and(|(_, columns)| columns > 110);
    let mut display = Display {
        terminal,
        wide,
        lines: HashMap::new(),
    };
    let mut lines = body.lines();
    while let Some(line) = lines.next().await? {
        let message: Value =
            serde_json::from_slice(&line).map_err(|error| ClientError::Answer(error.to_string()))?;
        out.write_all(display.message(&message)?.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// Waits for the work and shows nothing of it but its error.
pub(crate) async fn quietly(body: Body) -> Result<()> {
    let mut display = Display {
        terminal: false,
        wide: false,
        lines: HashMap::new(),
    };
    let mut lines = body.lines();
    while let Some(line) = lines.next().await? {
        if let Ok(message) = serde_json::from_slice(&line) {
            display.message(&message)?;
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Display {
    terminal: bool,
    wide: bool,
    /// Each layer's line, counted from the top.
    lines: HashMap<String, usize>,
}

impl Display {
    /// What to write for a message.
    fn message(&mut self, message: &Value) -> Result<String, ClientError> {
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        if let Some(error) = message.get("errorDetail") {
            let text = error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or_else(|| text("error"));
            return Err(ClientError::Progress(text.to_owned()));
        }
        if !text("error").is_empty() {
            return Err(ClientError::Progress(text("error").to_owned()));
        }
        if !text("stream").is_empty() {
            self.lines.clear();
            return Ok(text("stream").to_owned());
        }
        let detail = message.get("progressDetail");
        let count = |name: &str| detail.and_then(|detail| detail.get(name)?.as_u64()).unwrap_or(0);
        let (current, total) = (count("current"), count("total"));
        let counts = current > 0 || total > 0;
        let (id, status) = (text("id"), text("status"));
        if id.is_empty() && status.is_empty() {
            // What is for programs alone, as the end of a push.
            return Ok(String::new());
        }
        let prefix = if id.is_empty() {
            String::new()
        } else {
            format!("{id}: ")
        };
        if !self.terminal {
            // Without a terminal a bar would be a line each time.
            return Ok(if counts {
                String::new()
            } else {
                format!("{prefix}{status}\n")
            });
        }
        if id.is_empty() || detail.is_none() {
            self.lines.clear();
            return Ok(format!("{prefix}{status}\n"));
        }
        let mut written = String::new();
        let below = self.lines.len();
        let line = match self.lines.get(id) {
            Some(line) => *line,
            None if below < MOST_LINES => {
                self.lines.insert(id.to_owned(), below);
                written.push('\n');
                below
            }
            None => return Ok(String::new()),
        };
        let up = self.lines.len().saturating_sub(line);
        let bar = if counts {
            api::bar(current, total, self.wide)
        } else {
            String::new()
        };
        written.push_str(&format!("\x1b[{up}A\x1b[2K\r{prefix}{status} {bar}\r\x1b[{up}B"));
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(terminal: bool, messages: &[Value]) -> String {
        let mut display = Display {
            terminal,
            wide: false,
            lines: HashMap::new(),
        };
        messages
            .iter()
            .map(|message| display.message(message).unwrap())
            .collect()
    }

    fn pull() -> Vec<Value> {
        vec![
            json!({ "status": "Pulling from library/alpine", "id": "latest" }),
            json!({ "status": "Pulling fs layer", "progressDetail": {}, "id": "aa" }),
            json!({ "status": "Downloading", "progressDetail": { "current": 1000, "total": 2000 }, "id": "aa" }),
            json!({ "status": "Pull complete", "progressDetail": {}, "id": "aa" }),
            json!({ "status": "Digest: sha256:ff" }),
            json!({ "status": "Status: Downloaded newer image for alpine:latest" }),
        ]
    }

    #[test]
    fn without_a_terminal_a_pull_is_told_in_plain_lines() {
        assert_eq!(
            shown(false, &pull()),
            "latest: Pulling from library/alpine\naa: Pulling fs layer\naa: Pull complete\nDigest: sha256:ff\n\
             Status: Downloaded newer image for alpine:latest\n"
        );
    }

    #[test]
    fn on_a_terminal_a_layers_line_is_written_over() {
        let text = shown(true, &pull());
        assert!(
            text.contains("\x1b[1A\x1b[2K\raa: Downloading      1kB/2kB\r\x1b[1B"),
            "{text:?}"
        );
        assert!(text.ends_with("Digest: sha256:ff\nStatus: Downloaded newer image for alpine:latest\n"));
    }

    #[test]
    fn an_error_in_the_stream_ends_it() {
        let mut display = Display {
            terminal: false,
            wide: false,
            lines: HashMap::new(),
        };
        let message = json!({ "errorDetail": { "message": "no space" }, "error": "no space" });
        assert_eq!(display.message(&message).unwrap_err().to_string(), "no space");
    }

    #[test]
    fn what_is_for_programs_is_not_shown() {
        let aux = json!({ "progressDetail": {}, "aux": { "Tag": "latest" } });
        for terminal in [false, true] {
            assert_eq!(shown(terminal, std::slice::from_ref(&aux)), "");
        }
    }

    #[test]
    fn a_loads_result_is_shown_as_it_is() {
        assert_eq!(
            shown(false, &[json!({ "stream": "Loaded image: a:1\n" })]),
            "Loaded image: a:1\n"
        );
    }
}
