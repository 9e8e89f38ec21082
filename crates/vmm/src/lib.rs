//! Machines: memory map, kernel loading, devices on their bus, virtual CPUs; or the same devices for QEMU.
//!
//! [`run_process`] is the process of one machine. The service starts it with what [`choose`] found to be the way
//! to execute the guest's instructions: [`native`] boots it on the host's hypervisor, `qemu` hands the same devices
//! to QEMU over vhost-user.

mod aarch64;
mod acceleration;
mod boot;
mod bus;
pub mod command_line;
pub mod console;
pub mod control;
mod device_set;
mod loader;
pub mod machine;
mod native;
mod process;
mod qemu;
mod sys;
#[cfg(target_os = "linux")]
mod vhost_user;
mod x86_64;

pub use acceleration::{Acceleration, Choice, ChooseError, UnknownAcceleration, choose, find_qemu};
pub use process::run_process;
