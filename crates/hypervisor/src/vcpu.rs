//! A virtual CPU: entries and exits as plain data.

use std::sync::Arc;

use crate::Error;

/// What a vCPU gets on its way into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Go on.
    Resume,
    /// Go on with this as the result of the [`Exit::IoRead`] or [`Exit::MmioRead`] before; little-endian, bytes
    /// past the access's size are ignored.
    Value(u64),
}

/// Why a vCPU came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// x86: a read of an I/O port, of 1, 2 or 4 bytes. Answer with [`Entry::Value`].
    IoRead { port: u16, size: u8 },
    /// x86: a write to an I/O port.
    IoWrite { port: u16, size: u8, value: u32 },
    /// A read outside of guest memory, of 1 to 8 bytes. Answer with [`Entry::Value`].
    MmioRead { address: u64, size: u8 },
    /// A write outside of guest memory.
    MmioWrite { address: u64, size: u8, value: u64 },
    /// The vCPU halted and there is no interrupt controller to wake it.
    Halted,
    /// The guest asked to be powered off (PSCI SYSTEM_OFF).
    Shutdown,
    /// The guest asked for a reset (PSCI SYSTEM_RESET), or the CPU gave up (x86 triple fault).
    Reset,
    /// [`Kick::kick`] was called.
    Interrupted,
    /// The vCPU cannot go on; the message is for the log and the user.
    Failed { message: String },
}

/// How a vCPU begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// x86: 64-bit mode with interrupts off, as the Linux boot protocol wants it: `argument` in RSI, and the
    /// tables that [`crate::x86_64::write_long_mode_tables`] left at `tables`.
    LongMode { entry: u64, argument: u64, tables: u64 },
    /// aarch64: EL1 with the MMU and interrupts off, `argument` in X0.
    El1 { entry: u64, argument: u64 },
    /// Waits until another vCPU starts it: INIT and SIPI on x86, PSCI CPU_ON on aarch64.
    Parked,
}

/// A virtual CPU. It stays on the thread that made it.
pub trait Vcpu {
    /// Sets the registers for the first [`Vcpu::run`].
    fn start(&mut self, start: &Start) -> Result<(), Error>;

    /// Executes the guest until something happens. Blocks as long as the guest pleases; [`Kick::kick`] ends it.
    fn run(&mut self, entry: Entry) -> Exit;

    /// A handle that makes [`Vcpu::run`] return.
    fn kicker(&self) -> Arc<dyn Kick>;
}

/// Makes a vCPU's [`Vcpu::run`] return [`Exit::Interrupted`], from any thread.
pub trait Kick: Send + Sync {
    /// A kick is not lost: a vCPU outside of `run` comes back from its next one. Kicks that were not seen yet
    /// count as one. Set the flag that tells the vCPU's thread what to do before. Without effect once the vCPU
    /// is gone.
    fn kick(&self);
}
