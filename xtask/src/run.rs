//! Running other programs, with progress to look at and errors that name the command.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Says what happens next.
pub fn step(text: &str) {
    let mut out = std::io::stderr().lock();
    // A closed terminal must not stop a build.
    let _ = if out.is_terminal() {
        writeln!(out, "\x1b[1;34m==>\x1b[0m \x1b[1m{text}\x1b[0m")
    } else {
        writeln!(out, "==> {text}")
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
