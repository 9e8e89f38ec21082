//! The packet header (virtio 1.3, section 5.10.6).

/// Bytes of a header; the payload follows it.
pub(crate) const HEADER_SIZE: usize = 44;
/// The host's address.
pub(crate) const HOST_CID: u64 = 2;
/// The only type of socket here: a stream of bytes.
pub(crate) const STREAM: u16 = 1;

/// The sender of a SHUTDOWN will not receive any more.
pub(crate) const NO_MORE_RECEIVING: u32 = 1;
/// The sender of a SHUTDOWN will not send any more.
pub(crate) const NO_MORE_SENDING: u32 = 2;

/// What a packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Opens a connection.
    Request = 1,
    /// Agrees to it.
    Response = 2,
    /// Ends a connection at once, or refuses it.
    Reset = 3,
    /// Ends one or both directions.
    Shutdown = 4,
    /// Carries data.
    Data = 5,
    /// Tells how much room there is.
    CreditUpdate = 6,
    /// Asks how much room there is.
    CreditRequest = 7,
}

impl Operation {
    pub(crate) fn from_code(code: u16) -> Option<Self> {
        [
            Self::Request,
            Self::Response,
            Self::Reset,
            Self::Shutdown,
            Self::Data,
            Self::CreditUpdate,
            Self::CreditRequest,
        ]
        .into_iter()
        .find(|operation| *operation as u16 == code)
    }
}

/// A header in native form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source_cid: u64,
    pub(crate) destination_cid: u64,
    pub(crate) source_port: u32,
    pub(crate) destination_port: u32,
    /// Bytes of payload.
    pub(crate) length: u32,
    pub(crate) kind: u16,
    pub(crate) operation: u16,
    pub(crate) flags: u32,
    /// Bytes that the sender can hold for this connection.
    pub(crate) buffer_size: u32,
    /// Bytes that the sender has passed on, modulo 2^32.
    pub(crate) forwarded: u32,
}

impl Header {
    pub(crate) fn decode(bytes: &[u8; HEADER_SIZE]) -> Self {
        let mut reader = Reader(bytes);
        Self {
            source_cid: reader.u64(),
            destination_cid: reader.u64(),
            source_port: reader.u32(),
            destination_port: reader.u32(),
            length: reader.u32(),
            kind: reader.u16(),
            operation: reader.u16(),
            flags: reader.u32(),
            buffer_size: reader.u32(),
            forwarded: reader.u32(),
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let fields = [
            self.source_cid.to_le_bytes().as_slice(),
            &self.destination_cid.to_le_bytes(),
            &self.source_port.to_le_bytes(),
            &self.destination_port.to_le_bytes(),
            &self.length.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.operation.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.buffer_size.to_le_bytes(),
            &self.forwarded.to_le_bytes(),
        ]
        .concat();
        bytes.copy_from_slice(&fields);
        bytes
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.0 = rest;
                *bytes
            }
            None => [0; N],
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_lie_where_the_standard_puts_them() {
        let header = Header {
            source_cid: 2,
            destination_cid: 3,
            source_port: 4,
            destination_port: 5,
            length: 6,
            kind: 7,
            operation: 8,
            flags: 9,
            buffer_size: 10,
            forwarded: 11,
        };
        let bytes = header.encode();
        let at: Vec<usize> = (0..HEADER_SIZE).filter(|at| bytes[*at] != 0).collect();
        assert_eq!(at, [0, 8, 16, 20, 24, 28, 30, 32, 36, 40]);
    }

    proptest! {
        #[test]
        fn every_header_survives_decoding_and_encoding(bytes in prop::collection::vec(any::<u8>(), HEADER_SIZE)) {
            let bytes: [u8; HEADER_SIZE] = bytes.try_into().unwrap();
            prop_assert_eq!(Header::decode(&bytes).encode(), bytes);
        }
    }
}
