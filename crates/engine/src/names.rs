//! IDs of 64 hexadecimal digits, and names of two words for containers that were given none.

use protocol::Token;

use crate::error::{EngineError, Result};

/// Digits of an abbreviated ID.
pub(crate) const SHORT: usize = 12;

const ADJECTIVES: &[&str] = &[
    "agile",
    "amber",
    "bold",
    "brave",
    "breezy",
    "bright",
    "brisk",
    "calm",
    "candid",
    "cheerful",
    "clever",
    "coastal",
    "cosmic",
    "crisp",
    "curious",
    "dapper",
    "daring",
    "dreamy",
    "eager",
    "earnest",
    "easygoing",
    "electric",
    "fearless",
    "festive",
    "floating",
    "fluent",
    "focused",
    "frosty",
    "gallant",
    "gentle",
    "gifted",
    "gleaming",
    "golden",
    "graceful",
    "grateful",
    "happy",
    "hardy",
    "hopeful",
    "humble",
    "inventive",
    "jolly",
    "jovial",
    "keen",
    "kind",
    "lively",
    "lucid",
    "lucky",
    "mellow",
    "merry",
    "mindful",
    "modest",
    "nimble",
    "noble",
    "patient",
    "peaceful",
    "playful",
    "polite",
    "proud",
    "quick",
    "quiet",
    "quirky",
    "radiant",
    "ready",
    "relaxed",
    "resolute",
    "serene",
    "sharp",
    "silent",
    "sincere",
    "sleepy",
    "smiling",
    "snug",
    "spirited",
    "steady",
    "stoic",
    "sunny",
    "swift",
    "tender",
    "thoughtful",
    "tidy",
    "tranquil",
    "trusting",
    "upbeat",
    "vibrant",
    "vigilant",
    "wandering",
    "warm",
    "whimsical",
    "wise",
    "witty",
    "zesty",
];

/// People who measured, computed, sailed or built.
const SURNAMES: &[&str] = &[
    "abel",
    "adleman",
    "ampere",
    "archimedes",
    "babbage",
    "banach",
    "bardeen",
    "bernoulli",
    "bessel",
    "bohr",
    "boole",
    "brahe",
    "brattain",
    "burnell",
    "cannon",
    "cantor",
    "carson",
    "cavendish",
    "celsius",
    "cerf",
    "chandrasekhar",
    "church",
    "clarke",
    "codd",
    "cook",
    "copernicus",
    "curie",
    "darwin",
    "descartes",
    "dijkstra",
    "dirac",
    "edison",
    "einstein",
    "engelbart",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fibonacci",
    "fourier",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "goodall",
    "hamilton",
    "hawking",
    "heisenberg",
    "hertz",
    "hilbert",
    "hopper",
    "hoare",
    "hubble",
    "humboldt",
    "huygens",
    "hypatia",
    "jemison",
    "joule",
    "kalman",
    "kelvin",
    "kepler",
    "kernighan",
    "khwarizmi",
    "knuth",
    "kovalevskaya",
    "lagrange",
    "lamarr",
    "lamport",
    "laplace",
    "leavitt",
    "leibniz",
    "liskov",
    "lovelace",
    "magellan",
    "maxwell",
    "mccarthy",
    "mendel",
    "mendeleev",
    "mitchell",
    "nansen",
    "napier",
    "nash",
    "newton",
    "nightingale",
    "noether",
    "ohm",
    "pascal",
    "pasteur",
    "pauling",
    "perlman",
    "planck",
    "poincare",
    "ptolemy",
    "raman",
    "ramanujan",
    "riemann",
    "ritchie",
    "rivest",
    "rubin",
    "sagan",
    "shamir",
    "shannon",
    "snell",
    "somerville",
    "tereshkova",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "volta",
    "watt",
    "wiles",
    "wilson",
    "wozniak",
    "wright",
    "yonath",
    "zheng",
];

/// Fills an array from the operating system's cryptographic source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        EngineError::Internal(format!("the operating system gave no randomness: {error}"))
    })?;
    Ok(bytes)
}

/// 64 random hexadecimal digits. The abbreviation is never all decimal, so that it cannot be taken for a
/// number.
pub(crate) fn new_id() -> Result<String> {
    loop {
        let id = hex::encode(random::<32>()?);
        if id.bytes().take(SHORT).any(|digit| digit.is_ascii_alphabetic()) {
            return Ok(id);
        }
    }
}

/// A token for a byte stream.
pub(crate) fn new_token() -> Result<Token> {
    Ok(Token::new(random()?))
}

/// The first digits of an ID.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// A name that `taken` does not know: `adjective_surname`, with a digit once that was hard to find.
pub(crate) fn new_name(taken: impl Fn(&str) -> bool) -> Result<String> {
    for attempt in 0..100u32 {
        let [first, second, third, fourth, digit] = random::<5>()?;
        let adjective = pick(ADJECTIVES, first, second);
        let surname = pick(SURNAMES, third, fourth);
        let name = match attempt {
            0..6 => format!("{adjective}_{surname}"),
            _ => format!("{adjective}_{surname}{}", digit % 10),
        };
        if !taken(&name) {
            return Ok(name);
        }
    }
    new_id()
}

fn pick(words: &'static [&'static str], high: u8, low: u8) -> &'static str {
    let number = usize::from(u16::from_be_bytes([high, low]));
    words
        .iter()
        .cycle()
        .nth(number % words.len().max(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_has_64_digits_and_is_new_each_time() {
        let ids: HashSet<String> = (0..64).map(|_| new_id().unwrap()).collect();
        assert_eq!(ids.len(), 64);
        assert!(
            ids.iter()
                .all(|id| id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
        );
    }

    #[test]
    fn a_name_is_two_words_of_the_lists() {
        let name = new_name(|_| false).unwrap();
        let (adjective, surname) = name.split_once('_').unwrap();
        assert!(
            ADJECTIVES.contains(&adjective) && SURNAMES.contains(&surname),
            "{name}"
        );
    }

    #[test]
    fn a_taken_name_gets_a_digit() {
        let name = new_name(|name| !name.ends_with(|last: char| last.is_ascii_digit())).unwrap();
        assert!(name.ends_with(|last: char| last.is_ascii_digit()), "{name}");
    }

    #[test]
    fn when_every_name_is_taken_there_still_is_one() {
        assert_eq!(new_name(|_| true).unwrap().len(), 64);
    }

    #[test]
    fn no_word_is_listed_twice() {
        for words in [ADJECTIVES, SURNAMES] {
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
        }
    }
}
