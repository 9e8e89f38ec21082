//! The hypervisor and the virtual machine, as every backend offers them.

use std::fmt;
use std::sync::Arc;

use vm_memory::GuestMemoryMmap;

use crate::{Error, EventRef, Vcpu};

/// Which hypervisor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Linux's.
    Kvm,
    /// Apple's Hypervisor.framework.
    Hvf,
    /// Windows Hypervisor Platform.
    Whp,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Hvf => "Hypervisor.framework",
            Self::Whp => "Windows Hypervisor Platform",
        })
    }
}

/// A hypervisor of the host, ready to make machines.
pub trait Hypervisor: Send + Sync {
    /// Which one it is.
    fn backend(&self) -> Backend;

    /// The most virtual CPUs that one machine can have.
    fn max_vcpus(&self) -> u32;

    /// Makes an empty machine: no memory, no vCPU, no interrupt controller.
    fn create_vm(&self) -> Result<Arc<dyn Vm>, Error>;
}

/// A virtual machine. The order of its assembly is: memory, interrupt controller, vCPUs (each on its own
/// thread), [`Vm::seal`], and then [`Vcpu::run`]. Lines and doorbells may be made at any time.
pub trait Vm: Send + Sync {
    /// Makes guest memory of every region of `memory`, at the region's own address. The machine keeps the
    /// mappings alive. To be called once.
    fn map_memory(&self, memory: &GuestMemoryMmap) -> Result<(), Error>;

    /// Makes the interrupt controller and says which kind it became. A machine without one can run; its vCPU
    /// then leaves [`Vcpu::run`] when it halts.
    fn create_interrupt_controller(
        &self,
        layout: &InterruptControllerLayout,
    ) -> Result<InterruptController, Error>;

    /// Makes the vCPU number `index`, from 0. To be called on the thread that is going to run it.
    fn create_vcpu(&self, index: u32) -> Result<Box<dyn Vcpu>, Error>;

    /// Every vCPU exists: completes the interrupt controller. No vCPU has run yet.
    fn seal(&self) -> Result<(), Error>;

    /// An edge-triggered interrupt line into the machine's controller: an IOAPIC pin on x86_64, a shared
    /// peripheral interrupt on aarch64 (0 is INTID 32).
    fn interrupt_line(&self, number: u32) -> Result<Box<dyn InterruptLine>, Error>;

    /// Makes a 32-bit write of `value` at guest-physical `address` ring `event` without an exit. `Ok(false)`
    /// where the hypervisor has no doorbells: the write is then an [`Exit::MmioWrite`](crate::Exit).
    fn doorbell(&self, address: u64, value: u32, event: EventRef<'_>) -> Result<bool, Error>;
}

/// One wire into the interrupt controller.
pub trait InterruptLine: Send + Sync {
    /// Sends an edge. Never blocks; edges that the guest did not see yet count as one.
    fn pulse(&self);
}

/// Where the guest is to find its interrupt controller. x86_64 has fixed places and needs none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptControllerLayout {
    /// How many vCPUs there are going to be.
    pub vcpus: u32,
    /// aarch64: the GIC distributor's 64 KiB.
    pub distributor: u64,
    /// aarch64: the GICv3 redistributors, 128 KiB a vCPU, or the GICv2 CPU interface.
    pub redistributors: u64,
}

/// The kind of interrupt controller that a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptController {
    /// x86_64: local APICs, an IOAPIC of 24 pins, both 8259s and a PIT.
    IoApic,
    /// aarch64, at most 8 vCPUs.
    GicV2,
    /// aarch64.
    GicV3,
}
