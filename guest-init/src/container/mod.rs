//! A container's inside: what of a [`protocol::ContainerSpec`] becomes which system calls.
//!
//! The shim makes what needs the guest's own view (cgroup, overlay root, terminal), clones a child into new
//! namespaces and the cgroup ([`spawn`]), and the child builds the rest from within ([`inside`]) and becomes
//! the program ([`process`]). The order and the texts follow runc, which is what Docker's users know; runtime
//! facts are from the OCI runtime spec ("Linux Container Configuration").

pub(crate) mod cgroup;
mod cpu_list;
pub(crate) mod device_filter;
mod filesystems;
pub(crate) mod inside;
pub(crate) mod mounting;
mod paths;
mod privileges;
pub(crate) mod process;
mod program;
pub(crate) mod root;
pub(crate) mod spawn;
pub(crate) mod terminal;
mod tree;
pub(crate) mod user;
pub(crate) mod volume;
