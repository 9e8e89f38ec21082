//! Devices that are older than virtio, as far as a Linux without firmware needs them: the 8250 serial port, the
//! keyboard controller's reset line, and the PL031 real-time clock. The registers are those of `vm-superio`; here
//! they get this crate's interrupt and a bounded console.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use vm_superio::serial::NoEvents;
use vm_superio::{I8042Device, Rtc, Trigger};

use crate::Interrupt;

/// An interrupt line as `vm-superio` calls it.
struct Line(Arc<dyn Interrupt>);

impl Trigger for Line {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.trigger();
        Ok(())
    }
}

/// An 8250-compatible serial port whose output goes to a writer, such as a [`ConsoleTail`](crate::console::ConsoleTail).
pub struct Serial(vm_superio::Serial<Line, NoEvents, Box<dyn Write + Send>>);

impl Serial {
    /// Registers of the port, one byte each.
    pub const SIZE: u64 = 8;

    /// The writer is called on the thread that writes the register and must not block for long.
    pub fn new(interrupt: Arc<dyn Interrupt>, output: Box<dyn Write + Send>) -> Self {
        Self(vm_superio::Serial::new(Line(interrupt), output))
    }

    /// Reads the register at `offset` (0 to 7).
    pub fn read(&mut self, offset: u8) -> u8 {
        self.0.read(offset)
    }

    /// Writes the register at `offset` (0 to 7).
    pub fn write(&mut self, offset: u8, value: u8) {
        if let Err(error) = self.0.write(offset, value) {
            tracing::debug!(?error, "the guest's console output is lost");
        }
    }
}

/// The keyboard controller, of which Linux uses the line that resets the CPU.
pub struct I8042(I8042Device<Line>);

impl I8042 {
    /// `reset` is rung when the guest resets itself.
    pub fn new(reset: Arc<dyn Interrupt>) -> Self {
        Self(I8042Device::new(Line(reset)))
    }

    /// Reads the register at `offset` (0: data, 4: status).
    pub fn read(&mut self, offset: u8) -> u8 {
        self.0.read(offset)
    }

    /// Writes the register at `offset` (0: data, 4: command).
    pub fn write(&mut self, offset: u8, value: u8) {
        let Ok(()) = self.0.write(offset, value);
    }
}

/// The PL031 real-time clock, which tells the host's time.
pub struct Pl031(Rtc<vm_superio::rtc_pl031::NoEvents>);

impl Default for Pl031 {
    fn default() -> Self {
        Self(Rtc::new())
    }
}

impl Pl031 {
    /// Bytes of registers.
    pub const SIZE: u64 = 0x1000;

    /// Reads the 32-bit register at `offset`; any other access reads as zero.
    pub fn read(&mut self, offset: u16, data: &mut [u8]) {
        match data.first_chunk_mut::<4>() {
            Some(register) => self.0.read(offset, register),
            None => data.fill(0),
        }
    }

    /// Writes the 32-bit register at `offset`; any other access is ignored.
    pub fn write(&mut self, offset: u16, data: &[u8]) {
        if let Some(register) = data.first_chunk::<4>() {
            self.0.write(offset, register);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::ConsoleTail;
    use crate::worker::testing::Bell;

    #[test]
    fn what_the_guest_writes_to_the_port_is_on_the_console() {
        let console = ConsoleTail::new();
        let mut serial = Serial::new(Arc::new(Bell::default()), Box::new(console.clone()));
        for byte in b"hi\n" {
            serial.write(0, *byte);
        }
        assert_eq!(console.tail(1), ["hi"]);
    }

    #[test]
    fn the_reset_command_of_the_keyboard_controller_rings() {
        let bell = Arc::new(Bell::default());
        let mut controller = I8042::new(bell.clone());
        controller.write(4, 0xfe);
        assert_eq!(bell.count(), 1);
    }

    #[test]
    fn the_clock_tells_seconds_of_the_host() {
        let mut data = [0; 4];
        Pl031::default().read(0, &mut data);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs() as u32;
        assert!(now.abs_diff(u32::from_le_bytes(data)) < 60);
    }
}
