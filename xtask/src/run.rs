//! Running other programs, with progress to look at and errors that name the command.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// When the first step began.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says what happens next, and how many minutes and seconds after the first step.
pub fn step(text: &str) {
    let seconds = BEGUN.elapsed().as_secs();
    let since = format!("{:02}:{:02}", seconds / 60, seconds % 60);
    let mut out = std::io::stderr().lock();
    // A closed terminal must not stop a build.
    let _ = if out.is_terminal() {
        writeln!(out, "\x1b[1;34m==>\x1b[0m {since} \x1b[1m{text}\x1b[0m")
    } else {
        writeln!(out, "==> {since} {text}")
    };
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs to the end, with output going where ours goes.
///
/// # Errors
/// When the program cannot be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = line(command);
    let status = command
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs to the end and returns what it wrote to standard output.
///
/// # Errors
/// When the program cannot be started, does not exit with 0 (with what it said), or writes no UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` did not write text"))
}

/// Runs a talkative program: its output goes to `log`, and a count of its lines is shown now and then.
///
/// # Errors
/// As [`run`], with the end of the log.
pub fn run_counting(command: &mut Command, label: &str, log: &Path) -> Result<()> {
    const EVERY: usize = 200;
    let shown = line(command);
    let begun = Instant::now();
    let mut sink = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let (reader, writer) = std::io::pipe()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    // The command holds the pipe's other end, and the loop below ends only when that is closed everywhere.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut tail = std::collections::VecDeque::new();
    for (count, text) in BufReader::new(reader).split(b'\n').enumerate() {
        let text = text?;
        sink.write_all(&text)?;
        sink.write_all(b"\n")?;
        if count % EVERY == EVERY - 1 {
            step(&format!(
                "{label}: {} steps, {} s",
                count + 1,
                begun.elapsed().as_secs()
            ));
        }
        tail.push_back(String::from_utf8_lossy(&text).into_owned());
        if tail.len() > 40 {
            tail.pop_front();
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let tail = tail.into_iter().collect::<Vec<_>>().join("\n");
        bail!(
            "{tail}\n`{shown}` failed ({status}); all that it said is in {}",
            log.display()
        );
    }
    step(&format!("{label}: done in {} s", begun.elapsed().as_secs()));
    Ok(())
}

/// Reads a server's log up to the line that contains `mark`, and copies the rest to `path` for as long as it runs.
///
/// # Errors
/// All that it said, when it ended before.
pub fn wait_for_line(
    log: impl std::io::Read + Send + 'static,
    mark: &str,
    path: &Path,
) -> std::result::Result<(), String> {
    let mut log = BufReader::new(log);
    let mut said = String::new();
    loop {
        let begin = said.len();
        match log.read_line(&mut said) {
            Ok(0) | Err(_) => return Err(said),
            Ok(_) => {}
        }
        if said.get(begin..).is_some_and(|line| line.contains(mark)) {
            break;
        }
    }
    let file = std::fs::File::create(path);
    std::thread::spawn(move || {
        // The log is a convenience; the server must find its pipe emptied all the same.
        let _ = match file {
            Ok(mut file) => std::io::copy(&mut log, &mut file),
            Err(_) => std::io::copy(&mut log, &mut std::io::sink()),
        };
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_early_is_told_of_with_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = std::io::Cursor::new("level=fatal msg=\"address already in use\"\n");
        let said = wait_for_line(log, "listening on", &folder.path().join("log")).unwrap_err();
        assert!(said.contains("address already in use"));
    }
}
