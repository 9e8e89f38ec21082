//! The project's own build tool: everything that `cargo` alone does not know, with its own set-up.
//!
//! What takes long and depends only on its inputs (kernels, images, tools) is kept outside the checkout under
//! [`paths::cache`], named by a hash of those inputs, so that a fresh checkout on the same machine finds it.

pub mod architecture;
pub mod bench;
pub mod check;
pub mod cpio;
pub mod demo;
pub mod deny;
pub mod e2e;
pub mod emulator;
pub mod fingerprint;
pub mod images;
pub mod init;
pub mod kernel;
pub mod laptop;
pub mod libraries;
pub mod musl;
pub mod paths;
pub mod publish;
pub mod qemu;
pub mod registry;
pub mod run;
pub mod setup;
pub mod share;
pub mod test;
pub mod tsc;
