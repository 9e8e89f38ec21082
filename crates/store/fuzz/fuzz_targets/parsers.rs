//! Every parser of the store against a hostile registry: `RUSTC_BOOTSTRAP=1 cargo fuzz run parsers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::hostile::run(data));
