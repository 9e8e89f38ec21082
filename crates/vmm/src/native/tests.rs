//! Guests of a few instructions, where the computer that tests has a hypervisor; it may interpret.

#![cfg(target_arch = "x86_64")]

use std::sync::mpsc::{Receiver, channel};

use devices::blk::Layers;

use super::*;
use crate::console::Console;
use crate::control::{Accelerator, Event, StopReason};
use crate::machine::EventSink;

const BASE: u64 = 0x10_0000;

/// A vmlinux of one segment that holds `code`.
fn kernel(code: &[u8]) -> Vec<u8> {
    const CODE: usize = 64 + 56;
    let mut file = vec![0; CODE];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(18, &62u16.to_le_bytes());
    put(24, &BASE.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &1u16.to_le_bytes());
    put(64, &1u32.to_le_bytes());
    put(64 + 8, &(CODE as u64).to_le_bytes());
    put(64 + 24, &BASE.to_le_bytes());
    put(64 + 32, &(code.len() as u64).to_le_bytes());
    put(64 + 40, &4096u64.to_le_bytes());
    file.extend(code);
    file
}

struct Guest {
    folder: tempfile::TempDir,
    events: Receiver<Event>,
    machine: Result<Box<dyn Machine>, StartError>,
}

impl Guest {
    /// `None`: this computer has no hypervisor.
    fn boot(cpus: u32, code: &[u8]) -> Option<Self> {
        hypervisor::open().ok()?;
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::write(place("data.img"), vec![0; 4096]).unwrap();
        std::fs::write(place("initramfs"), b"nothing").unwrap();
        if !code.is_empty() {
            std::fs::write(place("kernel"), kernel(code)).unwrap();
        }
        let config = MachineConfig {
            id: "test".into(),
            architecture: Architecture::Amd64,
            accelerator: Accelerator::Kvm,
            cpus,
            memory_mib: 128,
            kernel: place("kernel"),
            initramfs: place("initramfs"),
            command_line: String::new(),
            directory: folder.path().into(),
            data_disk: place("data.img"),
            verbose_console: false,
        };
        let (sender, events) = channel();
        let sink = EventSink::new(move |event| drop(sender.send(event)));
        let machine = Parts::new(config, Arc::new(Console::new()), sink, &Layers::new()).and_then(start);
        Some(Self {
            folder,
            events,
            machine,
        })
    }

    fn end(&self) -> StopReason {
        assert!(matches!(self.events.recv().unwrap(), Event::Entered { .. }));
        match self.events.recv().unwrap() {
            Event::Stopped { reason } => reason,
            other => panic!("{other:?} instead of an end"),
        }
    }
}

/// mov edx, 0x3f8; mov al, 'h'; out dx, al; mov al, 'i'; out dx, al
const SAYS_HI: [u8; 11] = [0xba, 0xf8, 0x03, 0, 0, 0xb0, b'h', 0xee, 0xb0, b'i', 0xee];

#[test]
fn a_guest_that_writes_to_the_power_off_port_is_powered_off() {
    let code = [&SAYS_HI[..], &[0xe6, 0xf4, 0xf4]].concat();
    let Some(guest) = Guest::boot(2, &code) else {
        return;
    };
    assert_eq!(guest.end(), StopReason::PoweredOff);
    let inspection = guest.machine.as_ref().unwrap().inspect();
    assert_eq!(inspection.console_tail, ["hi"]);
    assert!(inspection.exits.contains(&("port write".into(), 3)));
}

#[test]
fn a_triple_fault_is_a_reset_that_brings_the_last_lines_along() {
    let code = [&SAYS_HI[..], &[0x0f, 0x0b]].concat();
    let Some(guest) = Guest::boot(1, &code) else {
        return;
    };
    assert_eq!(
        guest.end(),
        StopReason::Reset {
            console_tail: vec!["hi".into()]
        }
    );
}

#[test]
fn the_keyboard_controller_resets() {
    // mov al, 0xfe; out 0x64, al; hlt
    let Some(guest) = Guest::boot(1, &[0xb0, 0xfe, 0xe6, 0x64, 0xf4]) else {
        return;
    };
    assert_eq!(
        guest.end(),
        StopReason::Reset {
            console_tail: Vec::new()
        }
    );
}

#[test]
fn a_guest_finds_its_boot_parameters_through_rsi() {
    // mov edx, 0x3f8; mov al, [rsi+0x202]; out dx, al; out 0xf4, al
    let code = [
        0xba, 0xf8, 0x03, 0, 0, 0x8a, 0x86, 0x02, 0x02, 0, 0, 0xee, 0xe6, 0xf4,
    ];
    let Some(guest) = Guest::boot(1, &code) else {
        return;
    };
    assert_eq!(guest.end(), StopReason::PoweredOff);
    assert_eq!(guest.machine.as_ref().unwrap().inspect().console_tail, ["H"]);
}

#[test]
fn a_guest_that_never_ends_is_stopped() {
    let Some(mut guest) = Guest::boot(2, &[0xeb, 0xfe]) else {
        return;
    };
    guest.machine.as_mut().unwrap().stop();
    assert!(matches!(guest.events.recv().unwrap(), Event::Entered { .. }));
    assert!(
        guest.events.try_recv().is_err(),
        "a stop from outside is no event"
    );
}

#[test]
fn a_missing_kernel_is_an_error_that_names_it() {
    let Some(guest) = Guest::boot(2, &[]) else { return };
    let message = guest.machine.err().unwrap().message;
    assert!(message.contains("there is no guest kernel"), "{message}");
    assert!(
        message.contains(guest.folder.path().to_str().unwrap()),
        "{message}"
    );
}
