//! What tests of pulls, pushes and logins have in common.

#![allow(dead_code, reason = "no test needs all of it")]

use store::{Credentials, Platform};

/// Base64 of `user:pass`.
pub(crate) const USER: &str = "dXNlcjpwYXNz";

/// A layer with one file.
pub(crate) fn archive(name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o755);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, name, data).unwrap();
    builder.into_inner().unwrap()
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

/// Of the user that [`USER`] names, with a password that may be wrong.
pub(crate) fn credentials(password: &str) -> Credentials {
    Credentials {
        username: "user".to_owned(),
        password: password.to_owned(),
        ..Credentials::default()
    }
}
