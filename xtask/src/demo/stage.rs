//! What the demonstration plays on: a home folder of its own with a service, and commands that are shown as they
//! would be typed.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::architecture::Architecture;
use crate::registry::Registry;
use crate::run;

/// A home folder and the settings to run `sampan` in it. Dropping it ends the service and removes the folder.
pub(super) struct Stage {
    program: PathBuf,
    share: PathBuf,
    home: TempDir,
}

impl Stage {
    /// A home in which nothing has happened yet, whose `docker.io` is `registry`.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn new(
        arch: Architecture,
        program: PathBuf,
        share: PathBuf,
        registry: &Registry,
    ) -> Result<Self> {
        // The path of a unix socket has room for 107 bytes, so the folder is not in the checkout.
        let home = tempfile::Builder::new()
            .prefix("sampan-demo")
            .tempdir()
            .context("cannot create a folder for the demonstration")?;
        let settings = format!(
            "architecture = \"{}\"\n\n[mirrors]\n\"docker.io\" = [\"http://{}\"]\n",
            arch.docker(),
            registry.address()
        );
        fs::write(home.path().join("config.toml"), settings)
            .with_context(|| format!("cannot write to {}", home.path().display()))?;
        Ok(Self { program, share, home })
    }

    /// A remark between the commands.
    pub(super) fn say(&self, text: &str) {
        run::step(text);
    }

    fn set_up(&self) -> [(&'static str, &OsStr); 2] {
        [
            ("SAMPAN_HOME", self.home.path().as_os_str()),
            ("SAMPAN_SHARE", self.share.as_os_str()),
        ]
    }

    fn sampan(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .envs(self.set_up())
            .env_remove("DOCKER_HOST")
            .env_remove("SAMPAN_HOST")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which has to be exit code `code`. Returns what it printed.
    ///
    /// # Errors
    /// When it cannot be started or ends otherwise.
    pub(super) fn command(&self, words: &[&str], code: i32) -> Result<String> {
        show(words)?;
        let mut child = self
            .sampan(words)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sampan")?;
        let mut printed = String::new();
        let output = child.stdout.take().context("the output of sampan")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            print(&line)?;
            printed += &line;
            printed.push('\n');
        }
        expect(words, child.wait()?, code)?;
        Ok(printed)
    }

    /// Starts a command and returns once it has printed a line that contains `text`.
    ///
    /// # Errors
    /// When it cannot be started, or ends before.
    pub(super) fn background(&self, words: &[&str], text: &str) -> Result<Background> {
        show(words)?;
        let mut child = self
            .sampan(words)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sampan")?;
        let output = child.stdout.take().context("the output of sampan")?;
        let mut background = Background {
            words: words.iter().map(ToString::to_string).collect(),
            child,
            output: BufReader::new(output),
        };
        loop {
            let line = background
                .line()?
                .with_context(|| format!("`sampan {}` ended without saying {text:?}", words.join(" ")))?;
            if line.contains(text) {
                return Ok(background);
            }
        }
    }

    /// Runs a command on a terminal of its own. Each of `dialogue` is what to wait for on the screen, and what to
    /// type then.
    ///
    /// # Errors
    /// When it cannot be started, ends before the dialogue does, or ends with another code than 0.
    pub(super) fn terminal(&self, words: &[&str], dialogue: &[(&str, &str)]) -> Result<()> {
        show(words)?;
        let (mut pty, pts) = pty_process::blocking::open().context("cannot open a pseudo-terminal")?;
        pty.resize(pty_process::Size::new(24, 80))?;
        let mut child = pty_process::blocking::Command::new(&self.program)
            .args(words)
            .envs(self.set_up())
            .env_remove("DOCKER_HOST")
            .env_remove("SAMPAN_HOST")
            .spawn(pts)
            .context("cannot start sampan")?;
        let mut dialogue = dialogue.iter();
        let mut next = dialogue.next();
        let mut screen = String::new();
        let mut buffer = [0; 4096];
        // A pseudo-terminal whose other end is closed answers EIO in place of an end of file.
        while let Ok(length @ 1..) = pty.read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default();
            let mut out = std::io::stdout();
            out.write_all(bytes)?;
            out.flush()?;
            screen += &String::from_utf8_lossy(bytes);
            while let Some((awaited, answer)) = next {
                let Some(position) = screen.find(awaited) else {
                    break;
                };
                screen.drain(..position + awaited.len());
                pty.write_all(answer.as_bytes())?;
                next = dialogue.next();
            }
        }
        print("")?;
        expect(words, child.wait()?, 0)?;
        match next {
            None => Ok(()),
            Some((awaited, _)) => bail!("`sampan {}` never showed {awaited:?}", words.join(" ")),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What this leaves running on an error, the folder's removal cannot hide: the service says so itself.
        let _ = self.sampan(&["service", "stop"]).stdout(Stdio::null()).status();
    }
}

/// A command that goes on. Dropping it ends it.
pub(super) struct Background {
    words: Vec<String>,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Background {
    fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        print(&line)?;
        Ok(Some(line))
    }

    /// Waits for its end, which has to be exit code `code`.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub(super) fn ends_with(mut self, code: i32) -> Result<()> {
        std::io::copy(&mut self.output, &mut std::io::sink())?;
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let status = self.child.wait()?;
        run::step("In the first terminal the command has ended, too:");
        expect(&words, status, code)
    }

    /// Closes its terminal, so to speak.
    pub(super) fn hangs_up(self) {}
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn show(words: &[&str]) -> Result<()> {
    print(&format!("\n$ sampan {}", words.join(" ")))
}

fn print(line: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn expect(words: &[&str], status: ExitStatus, code: i32) -> Result<()> {
    let words = words.join(" ");
    if status.code() != Some(code) {
        bail!("`sampan {words}` ended with {status} where {code} was to come");
    }
    if code != 0 {
        print(&format!("(exit code {code})"))?;
    }
    Ok(())
}
