//! A machine whose instructions the host's hypervisor executes.
//!
//! Assembly: guest memory, interrupt controller, devices on their buses; one thread a vCPU, which makes its vCPU
//! and waits; then the kernel is loaded, and the threads are let go. From then on this process sleeps in vCPUs and
//! in device workers; what a vCPU cannot do for itself comes back as an exit and goes to a bus.

mod legacy;
mod lifecycle;
#[cfg(test)]
mod tests;
mod vcpu;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use hypervisor::{InterruptControllerLayout, Kick, Start, Vm};
use protocol::Architecture;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::boot::{BootInput, VirtioSlot};
use crate::bus::Bus;
use crate::bus::virtio_mmio::{QUEUE_NOTIFY, VirtioMmio, WINDOW};
use crate::control::{Inspection, MachineConfig};
use crate::machine::{Machine, NamedDevice, Parts, StartError};
use crate::{aarch64, command_line, sys, x86_64};
use lifecycle::Lifecycle;
use vcpu::Counters;

/// A device's name and its registers.
type NamedRegisters = (String, Arc<VirtioMmio>);

struct NativeMachine {
    lifecycle: Arc<Lifecycle>,
    threads: Vec<JoinHandle<()>>,
    /// One for each vCPU that has not been let go; a thread whose sender is dropped ends.
    starts: Vec<mpsc::Sender<Start>>,
    devices: Vec<NamedRegisters>,
    counters: Arc<Counters>,
}

/// Boots the machine. The guest runs when this returns.
pub(crate) fn start(parts: Parts) -> Result<Box<dyn Machine>, StartError> {
    let Parts {
        config,
        devices,
        console,
        events,
    } = parts;
    let hypervisor = hypervisor::open().map_err(|error| StartError::new(error.to_string()))?;
    if config.cpus > hypervisor.max_vcpus().min(max_cpus(config.architecture)) {
        let most = hypervisor.max_vcpus().min(max_cpus(config.architecture));
        return Err(StartError::new(format!(
            "a machine can have {most} CPUs here, not {}",
            config.cpus
        )));
    }
    let vm = hypervisor.create_vm().map_err(refused)?;
    let memory = guest_memory(&config)?;
    sys::prefer_large_pages(&memory);
    vm.map_memory(&memory).map_err(refused)?;
    let layout = InterruptControllerLayout {
        vcpus: config.cpus,
        distributor: aarch64::GIC_DISTRIBUTOR,
        redistributors: aarch64::GIC_REDISTRIBUTORS,
    };
    let controller = vm.create_interrupt_controller(&layout).map_err(refused)?;

    let lifecycle = Arc::new(Lifecycle::new(events, console.clone()));
    let counters = Arc::new(Counters::default());
    let mut buses = Buses {
        memory: Bus::default(),
        ports: Bus::default(),
    };
    legacy::attach(&mut buses, config.architecture, vm.as_ref(), console, &lifecycle)?;
    let (devices, slots) = attach_virtio(&mut buses, &config, devices, vm.as_ref(), &memory)?;

    let mut machine = NativeMachine {
        lifecycle,
        threads: Vec::new(),
        starts: Vec::new(),
        devices,
        counters,
    };
    machine.make_vcpus(&vm, config.cpus, &Arc::new(buses))?;
    vm.seal().map_err(refused)?;
    let seed = sys::random_seed().map_err(|error| StartError::new(format!("no randomness: {error}")))?;
    let announce: Vec<String> = match config.architecture {
        Architecture::Amd64 => slots.iter().map(x86_64::announce).collect(),
        Architecture::Arm64 => Vec::new(),
    };
    let input = BootInput {
        memory: &memory,
        kernel: &config.kernel,
        initramfs: &config.initramfs,
        command_line: &command_line::for_machine(&config, "ttyS0", &announce),
        cpus: config.cpus,
        controller,
        virtio: &slots,
        seed: &seed,
    };
    let start = match config.architecture {
        Architecture::Amd64 => x86_64::prepare(&input)?,
        Architecture::Arm64 => aarch64::prepare(&input)?,
    };
    machine.release_vcpus(start);
    Ok(Box::new(machine))
}

impl Machine for NativeMachine {
    fn inspect(&self) -> Inspection {
        Inspection {
            devices: self.devices.iter().map(|(name, _)| name.clone()).collect(),
            exits: self.counters.read(),
            helpers: Vec::new(),
            console_tail: self.lifecycle.console_tail(),
        }
    }

    fn stop(&mut self) {
        self.lifecycle.stop();
        self.starts.clear();
        for thread in self.threads.drain(..) {
            // A thread that panicked executes no guest either.
            let _ = thread.join();
        }
        for (_, device) in &self.devices {
            device.stop();
        }
    }
}

impl Drop for NativeMachine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The two address spaces of a machine beside its memory.
struct Buses {
    memory: Bus,
    ports: Bus,
}

impl NativeMachine {
    /// Starts a thread for each vCPU. Returns when every vCPU exists; they wait to be released.
    fn make_vcpus(&mut self, vm: &Arc<dyn Vm>, count: u32, buses: &Arc<Buses>) -> Result<(), StartError> {
        let (made, kickers) = mpsc::channel();
        for index in 0..count {
            let (start, starts) = mpsc::channel();
            let thread = vcpu::Thread {
                index,
                vm: vm.clone(),
                buses: buses.clone(),
                lifecycle: self.lifecycle.clone(),
                counters: self.counters.clone(),
            };
            self.threads.push(thread.spawn(made.clone(), starts)?);
            self.starts.push(start);
        }
        drop(made);
        let kickers: Vec<Arc<dyn Kick>> = kickers.iter().collect::<Result<_, _>>().map_err(refused)?;
        self.lifecycle.set_kickers(kickers);
        Ok(())
    }

    /// Lets the first vCPU begin with `start`; the others wait for it.
    fn release_vcpus(&mut self, start: Start) {
        let starts = std::iter::once(start).chain(std::iter::repeat(Start::Parked));
        for (sender, start) in self.starts.drain(..).zip(starts) {
            // A thread that is gone has said why.
            let _ = sender.send(start);
        }
    }
}

/// Puts each device at its slot, with a doorbell for each queue.
fn attach_virtio(
    buses: &mut Buses,
    config: &MachineConfig,
    devices: Vec<NamedDevice>,
    vm: &dyn Vm,
    memory: &GuestMemoryMmap,
) -> Result<(Vec<NamedRegisters>, Vec<VirtioSlot>), StartError> {
    let mut attached = Vec::new();
    let mut slots = Vec::new();
    for (index, NamedDevice { name, device }) in (0u32..).zip(devices) {
        let slot = match config.architecture {
            Architecture::Amd64 => x86_64::virtio_slot(index),
            Architecture::Arm64 => aarch64::virtio_slot(index),
        };
        let slot = slot.ok_or_else(|| StartError::new(format!("no place is left for the device {name}")))?;
        let line = vm.interrupt_line(slot.line).map_err(refused)?;
        let registers = VirtioMmio::new(device, memory.clone(), line)
            .map_err(|error| StartError::new(format!("the device {name} cannot be made: {error}")))?;
        for (queue, kick) in (0u32..).zip(registers.kicks()) {
            // Without doorbells the registers ring the event.
            if let Some(event) = sys::event_of(kick) {
                vm.doorbell(slot.address + QUEUE_NOTIFY, queue, event)
                    .map_err(refused)?;
            }
        }
        let registers = Arc::new(registers);
        buses.memory.insert(slot.address, WINDOW, registers.clone());
        attached.push((name, registers));
        slots.push(slot);
    }
    Ok((attached, slots))
}

/// Anonymous memory that costs nothing until the guest touches it.
fn guest_memory(config: &MachineConfig) -> Result<GuestMemoryMmap, StartError> {
    let bytes = u64::from(config.memory_mib) << 20;
    let ranges = match config.architecture {
        Architecture::Amd64 => x86_64::memory_ranges(bytes),
        Architecture::Arm64 => aarch64::memory_ranges(bytes),
    };
    let refused = |error: String| {
        let size = config.memory_mib;
        StartError::new(format!(
            "the host has no {size} MiB for the machine's memory ({error}); give it less"
        ))
    };
    let ranges = ranges.into_iter().map(|(address, size)| {
        usize::try_from(size)
            .map(|size| (GuestAddress(address), size))
            .map_err(|error| refused(error.to_string()))
    });
    let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
    GuestMemoryMmap::from_ranges(&ranges).map_err(|error| refused(error.to_string()))
}

const fn max_cpus(architecture: Architecture) -> u32 {
    match architecture {
        Architecture::Amd64 => x86_64::MAX_CPUS,
        Architecture::Arm64 => aarch64::MAX_CPUS,
    }
}

fn refused(error: hypervisor::Error) -> StartError {
    StartError::new(format!(
        "{error}; `--accel tcg` runs the machine without a hypervisor"
    ))
}
