//! One face for the hypervisors that a host can have.
//!
//! A [`Hypervisor`] makes [`Vm`]s, a [`Vm`] makes [`Vcpu`]s, and [`Vcpu::run`] executes guest instructions until
//! something happens that hardware would see on a bus: it takes an [`Entry`] and gives an [`Exit`], both plain
//! data. What a processor does for itself (PSCI, WFI, timers, CPUID, model-specific registers, decoding of an
//! instruction that touched a device) never leaves the backend. No device and no bus is known here.
//!
//! Each backend is a folder: `kvm` for Linux. A system without one compiles, and [`open`] says so.

mod error;
mod probe;
mod sys;
mod vcpu;
mod vm;

pub mod aarch64;
pub mod x86_64;

#[cfg(target_os = "linux")]
mod kvm;

pub use error::{Error, OpenError};
pub use probe::{Probe, ProbeError, Verdict, measure, probe};
pub use sys::{EventRef, open};
pub use vcpu::{Entry, Exit, Kick, Start, Vcpu};
pub use vm::{Backend, Hypervisor, InterruptController, InterruptControllerLayout, InterruptLine, Vm};
