//! The part of DNS that a stub resolver asks (RFC 1035, section 4): one question, and its answer from a table.
//! Whatever comes is from a container and hostile: every read is bounded.

use std::net::IpAddr;

const HEADER: usize = 12;
/// The longest name, its length bytes included (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;
/// The most bytes of an answer in a datagram that every client takes.
pub(super) const LONGEST_DATAGRAM: usize = 512;
/// The most bytes of an answer over a connection (section 4.2.2).
pub(super) const LONGEST_MESSAGE: usize = 65535;
/// Seconds that an answer may be kept, as Docker's resolver says.
const TTL: u32 = 600;

const CLASS_INTERNET: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
/// The flags QR and RA; the client's RD and its operation come on top.
const RESPONSE: u16 = 0x8080;
/// The flag TC: there is more, over a connection.
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const OPERATION: u16 = 0x7800;

/// What an answer says of itself (RFC 1035, section 4.1.1, RCODE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Done = 0,
    ServerFailure = 2,
    NotImplemented = 4,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The addresses of one family of a name.
    Addresses { name: String, v6: bool },
    /// The name of an address.
    Name(IpAddr),
    /// Anything else about a name.
    Other(String),
}

/// A question that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    id: u16,
    flags: u16,
    /// The question as it came, for the answer.
    bytes: &'a [u8],
    pub(super) wanted: Wanted,
}

/// Reads a query. `None` is not worth an answer.
pub(super) fn question(datagram: &[u8]) -> Option<Question<'_>> {
    let number = |place: usize| {
        let bytes = datagram.get(place..place.checked_add(2)?)?;
        Some(u16::from_be_bytes(*bytes.first_chunk::<2>()?))
    };
    let (id, flags, questions) = (number(0)?, number(2)?, number(4)?);
    if flags & 0x8000 != 0 || questions != 1 {
        return None;
    }
    let (name, end) = name(datagram, HEADER)?;
    let (kind, class) = (number(end)?, number(end.checked_add(2)?)?);
    let bytes = datagram.get(HEADER..end.checked_add(4)?)?;
    let wanted = match kind {
        _ if class != CLASS_INTERNET => Wanted::Other(name),
        TYPE_A => Wanted::Addresses { name, v6: false },
        TYPE_AAAA => Wanted::Addresses { name, v6: true },
        TYPE_PTR => match reversed(&name) {
            Some(address) => Wanted::Name(address),
            None => Wanted::Other(name),
        },
        _ => Wanted::Other(name),
    };
    Some(Question {
        id,
        flags,
        bytes,
        wanted,
    })
}

/// A name in lower case without its last dot, and where it ends. A question's name is never compressed.
fn name(datagram: &[u8], begin: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut place = begin;
    loop {
        let length = usize::from(*datagram.get(place)?);
        place = place.checked_add(1)?;
        if length == 0 {
            return Some((name, place));
        }
        let end = place.checked_add(length)?;
        if length > 63 || end.saturating_sub(begin) > LONGEST_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(
            datagram
                .get(place..end)?
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
        place = end;
    }
}

/// The address of a name such as `2.0.30.172.in-addr.arpa` (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<u8> = labels
            .split('.')
            .rev()
            .map(|label| label.parse().ok())
            .collect::<Option<_>>()?;
        return Some(IpAddr::from(
            *octets.first_chunk::<4>().filter(|_| octets.len() == 4)?,
        ));
    }
    let labels = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut count = 0;
    for label in labels.split('.').rev() {
        let digit = u128::from(u8::from_str_radix(label, 16).ok().filter(|_| label.len() == 1)?);
        bits = (bits << 4) | digit;
        count += 1;
    }
    (count == 32).then(|| IpAddr::from(bits.to_be_bytes()))
}

impl Question<'_> {
    fn head(&self, code: Code, answers: usize) -> Vec<u8> {
        let flags = RESPONSE | (self.flags & (RECURSION_DESIRED | OPERATION)) | code as u16;
        let mut bytes = Vec::with_capacity(LONGEST_DATAGRAM);
        for number in [self.id, flags, 1, u16::try_from(answers).unwrap_or(0), 0, 0] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.bytes);
        bytes
    }

    /// An answer without anything in it.
    pub(super) fn plain(&self, code: Code) -> Vec<u8> {
        let code = if self.flags & OPERATION == 0 {
            code
        } else {
            Code::NotImplemented
        };
        self.head(code, 0)
    }

    /// As many of these addresses as fit into so many bytes. An answer that leaves some out says so.
    pub(super) fn addresses(&self, addresses: &[IpAddr], longest: usize) -> Vec<u8> {
        let room = longest.saturating_sub(HEADER).saturating_sub(self.bytes.len());
        let length = |address: &IpAddr| if address.is_ipv4() { 16 } else { 28 };
        let fitting = addresses
            .iter()
            .scan(0usize, |used, address| {
                *used = used.saturating_add(length(address));
                (*used <= room).then_some(address)
            })
            .count();
        let mut bytes = self.head(Code::Done, fitting);
        if fitting < addresses.len()
            && let Some(flags) = bytes.get_mut(2)
        {
            *flags |= TRUNCATED.to_be_bytes()[0];
        }
        for address in addresses.iter().take(fitting) {
            match address {
                IpAddr::V4(address) => record(&mut bytes, TYPE_A, &address.octets()),
                IpAddr::V6(address) => record(&mut bytes, TYPE_AAAA, &address.octets()),
            }
        }
        bytes
    }

    /// The name of an address.
    pub(super) fn name(&self, name: &str) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(name.len().saturating_add(2));
        for label in name.split('.').filter(|label| !label.is_empty()) {
            let label = label.as_bytes();
            let label = label.get(..label.len().min(63)).unwrap_or_default();
            encoded.push(u8::try_from(label.len()).unwrap_or(0));
            encoded.extend(label);
        }
        encoded.push(0);
        if encoded.len() > LONGEST_NAME {
            return self.plain(Code::ServerFailure);
        }
        let mut bytes = self.head(Code::Done, 1);
        record(&mut bytes, TYPE_PTR, &encoded);
        bytes
    }
}

/// Adds a record of the name that was asked for.
fn record(bytes: &mut Vec<u8>, kind: u16, data: &[u8]) {
    // A pointer to the question's name.
    bytes.extend([0xc0, 12]);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(CLASS_INTERNET.to_be_bytes());
    bytes.extend(TTL.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(CLASS_INTERNET.to_be_bytes());
        bytes
    }

    #[test]
    fn a_question_for_a_name_is_read_in_lower_case() {
        let bytes = query("Db.Net", TYPE_A);
        let question = question(&bytes).unwrap();
        let name = "db.net".to_owned();
        assert_eq!(question.wanted, Wanted::Addresses { name, v6: false });
        let answer = question.addresses(&["172.18.0.2".parse().unwrap()], LONGEST_DATAGRAM);
        assert_eq!(answer[..8], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(answer.ends_with(&[0, 4, 172, 18, 0, 2]));
    }

    #[test]
    fn a_question_for_an_address_is_read_backwards() {
        let bytes = query("2.0.18.172.in-addr.arpa", TYPE_PTR);
        let question = question(&bytes).unwrap();
        assert_eq!(question.wanted, Wanted::Name("172.18.0.2".parse().unwrap()));
        assert!(question.name("db.net").ends_with(b"\x02db\x03net\0"));
        let name = format!("{}8.b.d.0.1.0.0.2.ip6.arpa", "1.".to_owned() + &"0.".repeat(23));
        assert_eq!(reversed(&name), Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        assert_eq!(question(b""), None);
        let mut response = query("a", TYPE_A);
        response[2] |= 0x80;
        assert_eq!(question(&response), None);
        let mut loops = query("a", TYPE_A);
        loops[HEADER] = 0xc0;
        assert_eq!(question(&loops), None);
    }

    #[test]
    fn more_addresses_than_a_datagram_holds_are_for_a_connection() {
        let bytes = query("many", TYPE_A);
        let addresses: Vec<IpAddr> = (0..200u8).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let question = question(&bytes).unwrap();
        let answer = question.addresses(&addresses, LONGEST_DATAGRAM);
        assert!(answer.len() <= LONGEST_DATAGRAM && answer[7] > 20 && answer[2] & 2 != 0);
        let answer = question.addresses(&addresses, LONGEST_MESSAGE);
        assert!(answer[7] == 200 && answer[2] & 2 == 0);
    }

    proptest! {
        #[test]
        fn no_datagram_makes_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(question) = question(&bytes) {
                prop_assert!(question.plain(Code::ServerFailure).len() <= HEADER + LONGEST_NAME + 5);
            }
        }

        #[test]
        fn every_name_is_read_as_it_was_written(labels in proptest::collection::vec("[a-z0-9_-]{1,20}", 1..8)) {
            let name = labels.join(".");
            let bytes = query(&name, TYPE_AAAA);
            prop_assert_eq!(question(&bytes).unwrap().wanted, Wanted::Addresses { name, v6: true });
        }
    }
}
