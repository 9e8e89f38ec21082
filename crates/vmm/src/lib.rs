//! Machines: memory map, kernel loading, devices on their bus, virtual CPUs; or the same devices for QEMU.

pub mod control;
