//! The few devices that are no virtio: serial port, clock, and what stands in for firmware at power-off.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use devices::Interrupt;
use devices::legacy::{I8042, Pl031, Serial};
use hypervisor::{InterruptLine, Vm};
use protocol::Architecture;

use super::lifecycle::{End, Lifecycle};
use super::{Buses, refused};
use crate::bus::BusDevice;
use crate::console::Console;
use crate::machine::StartError;
use crate::{aarch64, x86_64};

/// x86_64: a write powers the machine off. Without ACPI a PC has nothing that does; this is the port that QEMU's
/// `isa-debug-exit` has in its documentation, so a guest does the same thing under both.
const POWER_OFF_PORT: u64 = 0xf4;
/// x86_64: the keyboard controller's data port and the offset of its command port. Between them lies a port that
/// the hypervisor itself serves.
const KEYBOARD_PORT: u64 = 0x60;
const KEYBOARD_COMMAND: u64 = 4;

pub(super) fn attach(
    buses: &mut Buses,
    architecture: Architecture,
    vm: &dyn Vm,
    console: Arc<Console>,
    lifecycle: &Arc<Lifecycle>,
) -> Result<(), StartError> {
    let (bus, (address, line, size)) = match architecture {
        Architecture::Amd64 => (&mut buses.ports, x86_64::SERIAL),
        Architecture::Arm64 => (&mut buses.memory, aarch64::SERIAL),
    };
    let interrupt = Arc::new(Line(vm.interrupt_line(line).map_err(refused)?));
    let serial = Serial::new(interrupt, Box::new(ConsoleWriter(console)));
    bus.insert(address, size, Arc::new(ByteDevice(Mutex::new(serial))));
    match architecture {
        Architecture::Amd64 => {
            bus.insert(POWER_OFF_PORT, 1, Arc::new(PowerOff(lifecycle.clone())));
            let keyboard = I8042::new(Arc::new(ResetLine(lifecycle.clone())));
            let keyboard = Arc::new(ByteDevice(Mutex::new(keyboard)));
            bus.insert(KEYBOARD_PORT, KEYBOARD_COMMAND + 1, keyboard);
        }
        Architecture::Arm64 => {
            let (address, size) = aarch64::CLOCK;
            bus.insert(address, size, Arc::new(Clock(Mutex::new(Pl031::default()))));
        }
    }
    Ok(())
}

struct Line(Box<dyn InterruptLine>);

impl Interrupt for Line {
    fn trigger(&self) {
        self.0.pulse();
    }
}

struct ConsoleWriter(Arc<Console>);

impl Write for ConsoleWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A device whose registers are a byte each.
trait ByteRegisters: Send {
    fn read(&mut self, offset: u8) -> u8;
    fn write(&mut self, offset: u8, value: u8);
}

impl ByteRegisters for Serial {
    fn read(&mut self, offset: u8) -> u8 {
        Self::read(self, offset)
    }

    fn write(&mut self, offset: u8, value: u8) {
        Self::write(self, offset, value);
    }
}

impl ByteRegisters for I8042 {
    fn read(&mut self, offset: u8) -> u8 {
        Self::read(self, offset)
    }

    fn write(&mut self, offset: u8, value: u8) {
        Self::write(self, offset, value);
    }
}

/// One of them on a bus. An access that is wider than a register does nothing.
struct ByteDevice<D>(Mutex<D>);

impl<D: ByteRegisters> BusDevice for ByteDevice<D> {
    fn read(&self, offset: u64, data: &mut [u8]) {
        if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
            *byte = self.0.lock().unwrap_or_else(PoisonError::into_inner).read(offset);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(offset, *byte);
        }
    }
}

/// A PL031.
struct Clock(Mutex<Pl031>);

impl BusDevice for Clock {
    fn read(&self, offset: u64, data: &mut [u8]) {
        if let Ok(offset) = u16::try_from(offset) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .read(offset, data);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Ok(offset) = u16::try_from(offset) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(offset, data);
        }
    }
}

struct PowerOff(Arc<Lifecycle>);

impl BusDevice for PowerOff {
    fn read(&self, _: u64, _: &mut [u8]) {}

    fn write(&self, _: u64, _: &[u8]) {
        self.0.end(End::PowerOff);
    }
}

struct ResetLine(Arc<Lifecycle>);

impl Interrupt for ResetLine {
    fn trigger(&self) {
        self.0.end(End::Reset);
    }
}
