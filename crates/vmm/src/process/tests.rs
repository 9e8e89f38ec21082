use std::io::Cursor;
use std::sync::Mutex;

use protocol::Architecture;

use super::*;
use crate::control::Accelerator;

/// The names of machines that were stopped.
static STOPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Toy(String);

impl Machine for Toy {
    fn inspect(&self) -> Inspection {
        Inspection {
            devices: Vec::new(),
            exits: Vec::new(),
            helpers: vec![7],
            console_tail: vec!["hello".into()],
        }
    }

    fn stop(&mut self) {
        STOPPED.lock().unwrap().push(self.0.clone());
    }
}

/// A machine that behaves as its name says.
fn toy(parts: Parts) -> Result<Box<dyn Machine>, StartError> {
    match parts.config.id.as_str() {
        "has no kernel" => return Err(StartError::new("there is no kernel")),
        "panics" => {
            parts.events.entered();
            parts.events.stopped(StopReason::Reset {
                console_tail: vec!["panic".into()],
            });
        }
        _ => parts.events.entered(),
    }
    Ok(Box::new(Toy(parts.config.id)))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.img"), vec![0; 1 << 20]).unwrap();
        std::fs::write(folder.path().join("layer"), vec![1; 5000]).unwrap();
        Self(folder)
    }

    fn config(&self, id: &str) -> MachineConfig {
        MachineConfig {
            id: id.into(),
            architecture: Architecture::Amd64,
            accelerator: Accelerator::Kvm,
            cpus: 1,
            memory_mib: 128,
            kernel: "kernel".into(),
            initramfs: "initramfs".into(),
            command_line: String::new(),
            directory: self.0.path().into(),
            data_disk: self.0.path().join("data.img"),
            verbose_console: false,
        }
    }

    /// Everything that the process answers to a configuration and these lines.
    fn answers(&self, config: &MachineConfig, lines: &[String]) -> Vec<Event> {
        let mut input = serde_json::to_string(config).unwrap();
        for line in lines {
            input.push('\n');
            input.push_str(line);
        }
        input.push('\n');
        let mut output = Vec::new();
        serve(Cursor::new(input), &mut output, toy).unwrap();
        let lines = output
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

fn command(command: &Command) -> String {
    serde_json::to_string(command).unwrap()
}

/// What is told of the machine's end, and how much before it.
fn end(events: &[Event]) -> &StopReason {
    match events.last().unwrap() {
        Event::Stopped { reason } => reason,
        other => panic!("the last event is {other:?}"),
    }
}

#[test]
fn a_layer_gets_an_extent_and_a_missing_one_a_refusal() {
    let folder = Folder::new();
    let layer = folder.0.path().join("layer");
    let missing = folder.0.path().join("missing");
    let lines = [
        command(&Command::MapLayer { path: layer.clone() }),
        command(&Command::MapLayer {
            path: missing.clone(),
        }),
    ];
    let events = folder.answers(&folder.config("maps layers"), &lines);
    assert!(events.iter().any(|event| matches!(
        event, Event::LayerMapped { path, length: 8192, .. } if *path == layer
    )));
    assert!(events.iter().any(|event| matches!(
        event, Event::LayerRefused { path, .. } if *path == missing
    )));
}

#[test]
fn the_end_of_stdin_stops_the_machine() {
    let folder = Folder::new();
    let events = folder.answers(&folder.config("is left alone"), &[]);
    assert_eq!(end(&events), &StopReason::Asked);
    assert!(STOPPED.lock().unwrap().iter().any(|id| id == "is left alone"));
}

#[test]
fn a_line_that_is_no_command_is_passed_over() {
    let folder = Folder::new();
    let lines = [
        "{\"what\":1}".into(),
        command(&Command::Inspect),
        command(&Command::Stop),
    ];
    let events = folder.answers(&folder.config("hears nonsense"), &lines);
    let inspection = events.iter().find_map(|event| match event {
        Event::Inspected { inspection } => Some(inspection),
        _ => None,
    });
    let inspection = inspection.unwrap();
    assert!(inspection.devices.contains(&"blk data".to_string()));
    assert_eq!(inspection.helpers, [7]);
}

#[test]
fn a_guest_that_resets_is_told_with_its_last_lines() {
    let folder = Folder::new();
    let config = serde_json::to_string(&folder.config("panics")).unwrap() + "\n";
    // Stdin stays open, so that the end is the guest's.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(config.as_bytes()).unwrap();
    let mut output = Vec::new();
    serve(reader, &mut output, toy).unwrap();
    let last = output
        .split(|byte| *byte == b'\n')
        .rev()
        .find(|line| !line.is_empty())
        .unwrap();
    let reason = StopReason::Reset {
        console_tail: vec!["panic".into()],
    };
    assert_eq!(
        serde_json::from_slice::<Event>(last).unwrap(),
        Event::Stopped { reason }
    );
    drop(writer);
}

#[test]
fn a_machine_that_cannot_start_says_why() {
    let folder = Folder::new();
    let events = folder.answers(&folder.config("has no kernel"), &[]);
    assert!(matches!(end(&events), StopReason::Failed { message, .. } if message == "there is no kernel"));
}

#[test]
fn a_configuration_beyond_the_limits_is_refused() {
    let folder = Folder::new();
    let mut config = folder.config("is odd");
    config.cpus = 33;
    assert!(
        matches!(end(&folder.answers(&config, &[])), StopReason::Failed { message, .. } if message.contains("CPUs"))
    );
    config.cpus = 1;
    config.memory_mib = 16;
    assert!(
        matches!(end(&folder.answers(&config, &[])), StopReason::Failed { message, .. } if message.contains("MiB"))
    );
    config.memory_mib = 128;
    config.data_disk = folder.0.path().join("nothing");
    let events = folder.answers(&config, &[]);
    assert!(matches!(end(&events), StopReason::Failed { message, .. } if message.contains("data disk")));
}

#[test]
fn a_line_without_end_ends_the_process_instead_of_filling_it() {
    let mut output = Vec::new();
    serve(io::repeat(b'x'), &mut output, toy).unwrap();
    assert!(output.is_empty());
}
