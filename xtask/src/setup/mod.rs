//! Making a fresh Debian 12 with `cargo` and `apt` ready for each kind of work. Quick when all is there.

pub mod debian;
pub mod machine;
pub mod rust_src;
pub mod tools;
pub mod unpacked;
