//! KVM, through its API as the kernel's Documentation/virt/kvm/api.rst has it.

mod kick;
mod run_page;
mod vcpu;
mod vm;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod arch;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use kvm_ioctls::Cap;

use crate::{Backend, Error, Hypervisor, OpenError, Vm};

/// The API version that every kernel since 2.6.22 has.
const API_VERSION: i32 = 12;

/// An open /dev/kvm.
pub(crate) struct Kvm {
    system: kvm_ioctls::Kvm,
}

impl Kvm {
    pub(crate) fn open() -> Result<Self, OpenError> {
        let system = kvm_ioctls::Kvm::new().map_err(|errno| match errno.errno() {
            libc::ENOENT | libc::ENODEV | libc::ENXIO => OpenError::Absent,
            libc::EACCES | libc::EPERM => OpenError::NoPermission,
            _ => OpenError::Unusable(io::Error::from(errno).to_string()),
        })?;
        let version = system.get_api_version();
        if version != API_VERSION {
            return Err(OpenError::Unusable(format!(
                "it speaks API version {version} instead of {API_VERSION}"
            )));
        }
        let common = [
            (Cap::UserMemory, "guest memory (KVM_CAP_USER_MEMORY)"),
            (Cap::ImmediateExit, "interruptible vCPUs (KVM_CAP_IMMEDIATE_EXIT)"),
            (Cap::Irqfd, "interrupts from events (KVM_CAP_IRQFD)"),
            (Cap::Ioeventfd, "doorbells (KVM_CAP_IOEVENTFD)"),
        ];
        for (capability, name) in common.iter().chain(&arch::REQUIRED) {
            if !system.check_extension(*capability) {
                return Err(OpenError::Unusable(format!("it lacks {name}")));
            }
        }
        kick::install_signal_handler().map_err(|error| OpenError::Unusable(error.to_string()))?;
        Ok(Self { system })
    }
}

impl Hypervisor for Kvm {
    fn backend(&self) -> Backend {
        Backend::Kvm
    }

    fn max_vcpus(&self) -> u32 {
        u32::try_from(self.system.get_max_vcpus()).unwrap_or(u32::MAX)
    }

    fn create_vm(&self) -> Result<Arc<dyn Vm>, Error> {
        Ok(vm::KvmVm::new(&self.system)?)
    }
}
