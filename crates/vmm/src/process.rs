//! The process of one machine, `sampan vmm` (the contract is in [`control`](crate::control)).
//!
//! Three kinds of threads meet at one channel: a reader of stdin, the machine's own, and the loop that owns the
//! machine and writes stdout. Nobody looks whether something happened; everybody waits to be told.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use devices::blk::Layers;

use crate::console::Console;
use crate::control::{Accelerator, Command, Event, Inspection, MachineConfig, StopReason};
use crate::machine::{self, EventSink, Machine, Parts, StartError};
use crate::sys;

/// A configuration or a command of more bytes is not one.
const MAX_LINE: u64 = 1 << 20;

/// Runs a machine as the service says on stdin, until it has stopped. Blocks all the while. An error is one of
/// stdout; whatever goes wrong with the machine is told there.
pub fn run_process() -> io::Result<()> {
    serve(io::stdin(), &mut io::stdout(), start_confined)
}

/// What the loop is told.
enum Message {
    Line(String),
    /// End of file on stdin, or a line too long to be one.
    Gone,
    Machine(Event),
}

type StartMachine = fn(Parts) -> Result<Box<dyn Machine>, StartError>;

fn start_confined(parts: Parts) -> Result<Box<dyn Machine>, StartError> {
    // An emulated guest runs in QEMU's process, not in this one.
    let guest_runs_here = parts.config.accelerator != Accelerator::Tcg;
    let machine = machine::start(parts)?;
    if guest_runs_here && let Err(error) = sys::confine() {
        tracing::warn!("the machine's process is not confined: {error}");
    }
    Ok(machine)
}

fn serve(input: impl Read + Send + 'static, output: &mut impl Write, start: StartMachine) -> io::Result<()> {
    let (sender, messages) = mpsc::channel();
    let lines = sender.clone();
    thread::Builder::new()
        .name("commands".into())
        .spawn(move || read_lines(input, &lines))?;

    let Ok(Message::Line(line)) = messages.recv() else {
        return Ok(());
    };
    let reason = match Process::start(&line, sender, start) {
        Ok(mut process) => {
            let reason = process.run(&messages, output);
            process.machine.stop();
            reason
        }
        Err(error) => Ok(StopReason::Failed {
            message: error.message,
            console_tail: Vec::new(),
        }),
    };
    write_event(output, &Event::Stopped { reason: reason? })
}

fn read_lines(input: impl Read, messages: &Sender<Message>) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        let complete = match input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(_) => line.pop() == Some(b'\n'),
            Err(_) => false,
        };
        let message = match String::from_utf8(line) {
            Ok(line) if complete => Message::Line(line),
            _ => Message::Gone,
        };
        let gone = matches!(message, Message::Gone);
        if messages.send(message).is_err() || gone {
            return;
        }
    }
}

fn write_event(output: &mut impl Write, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

/// A machine and what commands need of it.
struct Process {
    machine: Box<dyn Machine>,
    layers: Layers,
    device_names: Vec<String>,
}

impl Process {
    fn start(line: &str, sender: Sender<Message>, start: StartMachine) -> Result<Self, StartError> {
        let config: MachineConfig = serde_json::from_str(line)
            .map_err(|error| StartError::new(format!("the machine's configuration is broken: {error}")))?;
        check(&config)?;
        let console = console(&config)?;
        let layers = Layers::new();
        // The loop listens until it has the machine's end.
        let events = EventSink::new(move |event| {
            let _ = sender.send(Message::Machine(event));
        });
        let parts = Parts::new(config, Arc::new(console), events, &layers)?;
        let device_names = parts.devices.iter().map(|device| device.name.clone()).collect();
        let machine = start(parts)?;
        Ok(Self {
            machine,
            layers,
            device_names,
        })
    }

    /// Serves commands until the machine has ended, and says why it has.
    fn run(&mut self, messages: &Receiver<Message>, output: &mut impl Write) -> io::Result<StopReason> {
        loop {
            // The reader keeps its end of the channel until stdin ends.
            let event = match messages.recv().unwrap_or(Message::Gone) {
                Message::Gone => return Ok(StopReason::Asked),
                Message::Machine(Event::Stopped { reason }) => return Ok(reason),
                Message::Machine(event) => Some(event),
                Message::Line(line) => match serde_json::from_str(&line) {
                    Ok(Command::Stop) => return Ok(StopReason::Asked),
                    Ok(command) => self.command(command),
                    Err(error) => {
                        tracing::warn!("a command that is none: {error}");
                        None
                    }
                },
            };
            if let Some(event) = event {
                write_event(output, &event)?;
            }
        }
    }

    fn command(&self, command: Command) -> Option<Event> {
        match command {
            Command::MapLayer { path } => Some(match self.layers.map(&path) {
                Ok(extent) => Event::LayerMapped {
                    path,
                    offset: extent.offset,
                    length: extent.length,
                },
                Err(error) => Event::LayerRefused {
                    path,
                    message: error.to_string(),
                },
            }),
            Command::UnmapLayer { path } => {
                self.layers.unmap(&path);
                None
            }
            Command::Inspect => {
                let inspection = Inspection {
                    devices: self.device_names.clone(),
                    ..self.machine.inspect()
                };
                Some(Event::Inspected { inspection })
            }
            Command::Stop => None,
        }
    }
}

/// The limits that the contract names.
fn check(config: &MachineConfig) -> Result<(), StartError> {
    if !(1..=32).contains(&config.cpus) {
        return Err(StartError::new(format!(
            "a machine has 1 to 32 CPUs, not {}",
            config.cpus
        )));
    }
    if !(128..=1 << 20).contains(&config.memory_mib) {
        let size = config.memory_mib;
        return Err(StartError::new(format!(
            "a machine has 128 to 1048576 MiB of memory, not {size}"
        )));
    }
    if config.command_line.len() > crate::command_line::MAX_LENGTH / 2 || config.command_line.contains('\0') {
        return Err(StartError::new(
            "the additions to the kernel's command line are too long",
        ));
    }
    Ok(())
}

fn console(config: &MachineConfig) -> Result<Console, StartError> {
    if !config.verbose_console {
        return Ok(Console::new());
    }
    let path: &Path = &config.directory.join("console.log");
    Console::with_log(path).map_err(|error| {
        StartError::new(format!(
            "the console's log {} cannot be written: {error}",
            path.display()
        ))
    })
}
