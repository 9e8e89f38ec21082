//! Every device against a hostile driver: `RUSTC_BOOTSTRAP=1 cargo fuzz run queues`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| devices::hostile::run(data));
