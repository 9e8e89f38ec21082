//! A vCPU of KVM: KVM_RUN, and its exits as plain data.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use kvm_bindings::{KVM_SYSTEM_EVENT_CRASH, KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};

use super::arch;
use super::kick::Kicker;
use super::run_page::{self, PortAccess};
use crate::{Entry, Error, Exit, Kick, Start, Vcpu};

pub(super) struct KvmVcpu {
    fd: VcpuFd,
    kicker: Arc<Kicker>,
    pending: Pending,
    /// KVM wants a vCPU's ioctls from the thread that made it.
    stays_on_its_thread: PhantomData<*mut ()>,
}

/// What the last exit left open.
#[derive(Clone, Copy)]
enum Pending {
    Nothing,
    /// A device is read; the entry brings the value.
    MmioRead,
    /// Element `index` of a port access was reported.
    Port {
        access: PortAccess,
        index: u32,
    },
}

impl KvmVcpu {
    pub(super) fn new(vm: &VmFd, index: u32) -> Result<Self, Error> {
        let mut fd = vm
            .create_vcpu(u64::from(index))
            .map_err(Error::host("create a vCPU"))?;
        arch::initialize_vcpu(vm, &fd, index)?;
        let kicker = Arc::new(Kicker::new(fd.get_kvm_run()));
        Ok(Self {
            fd,
            kicker,
            pending: Pending::Nothing,
            stays_on_its_thread: PhantomData,
        })
    }

    /// Hands the result of a read to the kernel.
    fn complete(&mut self, entry: Entry) {
        let Entry::Value(value) = entry else { return };
        let bytes = value.to_le_bytes();
        match self.pending {
            Pending::MmioRead => *run_page::mmio_data(self.fd.get_kvm_run()) = bytes,
            Pending::Port { access, index } if !access.write => {
                let element = run_page::port_element(self.fd.get_kvm_run(), &access, index);
                for (to, from) in element.iter_mut().zip(bytes) {
                    *to = from;
                }
            }
            Pending::Port { .. } | Pending::Nothing => {}
        }
    }

    /// Reports element `index` of a port access.
    fn port_exit(&mut self, access: PortAccess, index: u32) -> Exit {
        self.pending = Pending::Port { access, index };
        let PortAccess { port, size, .. } = access;
        if !access.write {
            return Exit::IoRead { port, size };
        }
        let element = run_page::port_element(self.fd.get_kvm_run(), &access, index);
        let value = element
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        Exit::IoWrite { port, size, value }
    }

    /// One KVM_RUN. `None` means to run again.
    fn enter(&mut self) -> Option<Exit> {
        let exit = match self.fd.run() {
            Ok(VcpuExit::MmioRead(address, data)) => {
                self.pending = Pending::MmioRead;
                return Some(Exit::MmioRead {
                    address,
                    size: data.len() as u8,
                });
            }
            Ok(VcpuExit::MmioWrite(address, data)) => {
                let value = data
                    .iter()
                    .rev()
                    .fold(0, |value, byte| value << 8 | u64::from(*byte));
                return Some(Exit::MmioWrite {
                    address,
                    size: data.len() as u8,
                    value,
                });
            }
            Ok(VcpuExit::IoIn(..) | VcpuExit::IoOut(..)) => {
                let access = run_page::port_access(self.fd.get_kvm_run());
                return Some(self.port_exit(access, 0));
            }
            Ok(VcpuExit::Hlt) => return Some(Exit::Halted),
            Ok(VcpuExit::Shutdown) => return Some(Exit::Reset),
            Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_SHUTDOWN, _)) => return Some(Exit::Shutdown),
            Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_RESET | KVM_SYSTEM_EVENT_CRASH, _)) => {
                return Some(Exit::Reset);
            }
            Ok(VcpuExit::InternalError) => None,
            Ok(other) => Some(format!("{other:?}")),
            Err(errno) => match errno.errno() {
                // A vCPU that waited for its start got it.
                libc::EAGAIN => return None,
                libc::EINTR => {
                    self.kicker.clear();
                    return Some(Exit::Interrupted);
                }
                _ => Some(io::Error::from(errno).to_string()),
            },
        };
        let what = exit.unwrap_or_else(|| {
            format!(
                "internal error {} of KVM",
                run_page::internal_error(self.fd.get_kvm_run())
            )
        });
        let message = format!(
            "the vCPU cannot go on at {}: {what}",
            arch::program_counter(&self.fd)
        );
        Some(Exit::Failed { message })
    }
}

impl Vcpu for KvmVcpu {
    fn start(&mut self, start: &Start) -> Result<(), Error> {
        arch::start_vcpu(&self.fd, start)
    }

    fn run(&mut self, entry: Entry) -> Exit {
        self.complete(entry);
        // A string instruction is one exit to the kernel and several to the devices.
        if let Pending::Port { access, index } = self.pending
            && let Some(next) = index.checked_add(1).filter(|next| *next < access.count)
        {
            return self.port_exit(access, next);
        }
        self.pending = Pending::Nothing;
        loop {
            if let Some(exit) = self.enter() {
                return exit;
            }
        }
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.kicker.clone()
    }
}

impl Drop for KvmVcpu {
    fn drop(&mut self) {
        self.kicker.withdraw();
    }
}
