//! A machine of KVM: memory slots, interrupt lines (irqfd) and doorbells (ioeventfd).

use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::{Arc, Mutex, PoisonError};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{DeviceFd, IoEventAddress, VmFd};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::arch;
use super::vcpu::KvmVcpu;
use crate::{Error, EventRef, InterruptController, InterruptControllerLayout, InterruptLine, Vcpu, Vm};

pub(super) struct KvmVm {
    fd: VmFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Keeps the mappings that the kernel knows alive.
    memory: Option<GuestMemoryMmap>,
    /// aarch64's interrupt controller is a device with a descriptor of its own.
    controller: Option<DeviceFd>,
    sealed: bool,
    /// Lines that wait for a controller that is ready.
    unbound: Vec<(EventFd, u32)>,
}

impl KvmVm {
    pub(super) fn new(system: &kvm_ioctls::Kvm) -> Result<Arc<Self>, Error> {
        // A signal that arrives meanwhile (a kick of another machine) makes the kernel start over.
        let fd = loop {
            match system.create_vm() {
                Err(errno) if errno.errno() == libc::EINTR => {}
                other => break other.map_err(Error::host("create a machine"))?,
            }
        };
        arch::initialize_vm(&fd)?;
        Ok(Arc::new(Self {
            fd,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bind(&self, event: &EventFd, number: u32) -> Result<(), Error> {
        self.fd
            .register_irqfd(event, number)
            .map_err(Error::host("connect an interrupt line"))
    }
}

impl Vm for KvmVm {
    #[allow(unsafe_code, reason = "the kernel is told about mappings of this process")]
    fn map_memory(&self, memory: &GuestMemoryMmap) -> Result<(), Error> {
        let mut state = self.state();
        if state.memory.is_some() {
            return Err(Error::Setup("its memory is mapped already".into()));
        }
        // First of all: nothing may unmap what the kernel is about to know.
        state.memory = Some(memory.clone());
        for (slot, region) in (0u32..).zip(memory.iter()) {
            let slot = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: region.as_ptr() as u64,
            };
            // SAFETY: the region is a mapping of this size, shared with the guest alone as `GuestMemoryMmap`
            // (which treats it as volatile), and kept by `state.memory` for as long as the machine exists.
            unsafe { self.fd.set_user_memory_region(slot) }.map_err(Error::host("map guest memory"))?;
        }
        Ok(())
    }

    fn create_interrupt_controller(
        &self,
        layout: &InterruptControllerLayout,
    ) -> Result<InterruptController, Error> {
        let (kind, controller) = arch::create_interrupt_controller(&self.fd, layout)?;
        self.state().controller = controller;
        Ok(kind)
    }

    fn create_vcpu(&self, index: u32) -> Result<Box<dyn Vcpu>, Error> {
        Ok(Box::new(KvmVcpu::new(&self.fd, index)?))
    }

    fn seal(&self) -> Result<(), Error> {
        let mut state = self.state();
        arch::seal_interrupt_controller(state.controller.as_ref())?;
        state.sealed = true;
        for (event, number) in std::mem::take(&mut state.unbound) {
            self.bind(&event, number)?;
        }
        Ok(())
    }

    fn interrupt_line(&self, number: u32) -> Result<Box<dyn InterruptLine>, Error> {
        let event = EventFd::new(EFD_NONBLOCK).map_err(Error::host("create an event"))?;
        let mut state = self.state();
        if state.sealed {
            self.bind(&event, number)?;
        } else {
            let other = event.try_clone().map_err(Error::host("create an event"))?;
            state.unbound.push((other, number));
        }
        Ok(Box::new(Line(event)))
    }

    #[allow(unsafe_code, reason = "an owned descriptor becomes an EventFd")]
    fn doorbell(&self, address: u64, value: u32, event: EventRef<'_>) -> Result<bool, Error> {
        let owned = event
            .try_clone_to_owned()
            .map_err(Error::host("duplicate an event"))?;
        // SAFETY: the descriptor is owned by nothing else from here on.
        let event = unsafe { EventFd::from_raw_fd(owned.into_raw_fd()) };
        self.fd
            .register_ioevent(&event, &IoEventAddress::Mmio(address), value)
            .map_err(Error::host("set up a doorbell"))?;
        Ok(true)
    }
}

/// An irqfd: a write is an edge.
struct Line(EventFd);

impl InterruptLine for Line {
    fn pulse(&self) {
        // Fails only when the counter is at its end, and then an edge is on its way.
        let _ = self.0.write(1);
    }
}
