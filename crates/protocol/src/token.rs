//! The one-time token that opens a byte stream.
//!
//! A container may be able to open vsock connections of its own, so a stream proves that it is the one that
//! was asked for with 256 bits that only the host and the guest's PID 1 know.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 256 random bits that name one expected stream. Hexadecimal in messages, raw bytes on the stream itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token([u8; Token::LENGTH]);

impl Token {
    /// Bytes of a token on the wire.
    pub const LENGTH: usize = 32;

    /// A token of these bytes, which have to come from a cryptographic source.
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes that open the stream.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a stream token has 64 hexadecimal digits")]
pub struct MalformedToken;

impl FromStr for Token {
    type Err = MalformedToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::LENGTH];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| MalformedToken)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_form() {
        let token = Token::new(std::array::from_fn(|index| index as u8));
        let text = serde_json::to_string(&token).unwrap();
        assert_eq!(serde_json::from_str::<Token>(&text).unwrap(), token);
    }

    #[test]
    fn a_token_never_shows_in_a_log() {
        assert!(!format!("{:?}", Token::new([0xab; 32])).contains("ab"));
    }

    #[test]
    fn a_short_token_is_refused() {
        assert!("abcd".parse::<Token>().is_err());
    }
}
