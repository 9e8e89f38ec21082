//! What the cryptography asks of the processor: graviola is written with instructions that a computer from before 2015
//! may lack, and panics without them.

use crate::error::StoreError;

#[cfg(target_arch = "x86_64")]
const NEEDED: &str = "ADX, AES, AVX2, BMI1 and PCLMULQDQ";
#[cfg(target_arch = "x86_64")]
fn has_all() -> bool {
    use std::is_x86_feature_detected as has;
    has!("adx") && has!("aes") && has!("avx") && has!("avx2") && has!("bmi1") && has!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
const NEEDED: &str = "AES, PMULL and SHA2";
#[cfg(target_arch = "aarch64")]
fn has_all() -> bool {
    use std::arch::is_aarch64_feature_detected as has;
    has!("neon") && has!("aes") && has!("pmull") && has!("sha2")
}

/// Whether this processor can speak TLS.
///
/// # Errors
/// Which instructions are missing, and what works without them.
pub fn check_tls() -> Result<(), StoreError> {
    if has_all() {
        return Ok(());
    }
    Err(StoreError::Tls(format!(
        "this processor lacks some of the instructions {NEEDED}; pull from a registry on this computer, or save the \
         image on another one and `sampan load` it here"
    )))
}
