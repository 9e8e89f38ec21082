//! The header block.

use super::BLOCK;

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Regular,
    HardLink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

/// What a header block says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderKind {
    /// An entry.
    Entry(EntryKind),
    /// An entry with holes, in GNU's old form.
    GnuSparse,
    /// Name of the next entry.
    GnuLongName,
    /// Link target of the next entry.
    GnuLongLink,
    /// pax records of the next entry.
    Pax,
    /// pax records of all entries that follow.
    PaxGlobal,
}

/// A header block that is whole and whose checksum is right.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

/// Which extensions of the old header are in use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Old,
    Ustar,
    Gnu,
}

impl<'a> Header<'a> {
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, &'static str> {
        let header = Self(block);
        let stored = header.number(148, 8)?;
        // The checksum counts its own field as spaces. Some old writers summed signed bytes.
        let counted = |index: usize, byte: u8| if (148..156).contains(&index) { b' ' } else { byte };
        let bytes = || {
            block
                .iter()
                .enumerate()
                .map(|(index, byte)| counted(index, *byte))
        };
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
        if stored == unsigned || stored == signed {
            Ok(header)
        } else {
            Err("its header has a wrong checksum")
        }
    }

    pub(super) fn kind(&self) -> Result<HeaderKind, &'static str> {
        let kind = match self.byte(156) {
            0 if self.name().ends_with(b"/") => HeaderKind::Entry(EntryKind::Directory),
            0 | b'0' | b'7' => HeaderKind::Entry(EntryKind::Regular),
            b'1' => HeaderKind::Entry(EntryKind::HardLink),
            b'2' => HeaderKind::Entry(EntryKind::Symlink),
            b'3' => HeaderKind::Entry(EntryKind::Character),
            b'4' => HeaderKind::Entry(EntryKind::Block),
            b'5' => HeaderKind::Entry(EntryKind::Directory),
            b'6' => HeaderKind::Entry(EntryKind::Fifo),
            b'S' => HeaderKind::GnuSparse,
            b'L' => HeaderKind::GnuLongName,
            b'K' => HeaderKind::GnuLongLink,
            b'x' => HeaderKind::Pax,
            b'g' => HeaderKind::PaxGlobal,
            _ => return Err("its type is unknown"),
        };
        Ok(kind)
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        let prefix = if self.format() == Format::Ustar {
            self.text(345, 155)
        } else {
            &[]
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub(super) fn link_name(&self) -> &'a [u8] {
        self.text(157, 100)
    }

    pub(super) fn mode(&self) -> Result<i64, &'static str> {
        self.number(100, 8)
    }

    pub(super) fn user(&self) -> Result<i64, &'static str> {
        self.number(108, 8)
    }

    pub(super) fn group(&self) -> Result<i64, &'static str> {
        self.number(116, 8)
    }

    pub(super) fn size(&self) -> Result<i64, &'static str> {
        self.number(124, 12)
    }

    pub(super) fn modified(&self) -> Result<i64, &'static str> {
        self.number(136, 12)
    }

    /// Major and minor number.
    pub(super) fn device(&self) -> Result<(i64, i64), &'static str> {
        if self.format() == Format::Old {
            Ok((0, 0))
        } else {
            Ok((self.number(329, 8)?, self.number(337, 8)?))
        }
    }

    /// The bytes of GNU's old sparse map in the header, whether the map goes on in extension blocks, and the
    /// length of the file with its holes.
    pub(super) fn gnu_sparse(&self) -> Result<(&'a [u8], bool, i64), &'static str> {
        if self.format() != Format::Gnu {
            return Err("it is sparse in GNU's form without being of GNU's format");
        }
        Ok((self.field(386, 96), self.byte(482) != 0, self.number(483, 12)?))
    }

    fn format(&self) -> Format {
        match self.field(257, 8) {
            b"ustar  \0" => Format::Gnu,
            magic if magic.starts_with(b"ustar\0") => Format::Ustar,
            _ => Format::Old,
        }
    }

    fn field(&self, start: usize, length: usize) -> &'a [u8] {
        self.0.get(start..start + length).unwrap_or_default()
    }

    fn byte(&self, index: usize) -> u8 {
        self.0.get(index).copied().unwrap_or_default()
    }

    fn text(&self, start: usize, length: usize) -> &'a [u8] {
        until_nul(self.field(start, length))
    }

    fn number(&self, start: usize, length: usize) -> Result<i64, &'static str> {
        number(self.field(start, length))
    }
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number of a header: octal digits among spaces and NULs, or, with the top bit set, big-endian two's
/// complement.
pub(super) fn number(field: &[u8]) -> Result<i64, &'static str> {
    const WRONG: &str = "its header has a malformed number";
    match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => {
            let negative = first & 0x40 != 0;
            // Sign-extend the first byte's seven bits to eight.
            let first = if negative { *first } else { first & 0x7f };
            let start = if negative { -1_i128 } else { 0 };
            let mut value = start << 8 | i128::from(first);
            for byte in rest {
                value = value
                    .checked_mul(256)
                    .and_then(|value| value.checked_add(i128::from(*byte)))
                    .ok_or(WRONG)?;
            }
            i64::try_from(value).map_err(|_| WRONG)
        }
        _ => {
            let digits = field.trim_ascii_start();
            let digits = until_nul(digits.strip_prefix(b"\0").unwrap_or(digits)).trim_ascii();
            let mut value = 0_i64;
            for digit in digits {
                let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8).ok_or(WRONG)?;
                value = value
                    .checked_mul(8)
                    .and_then(|value| value.checked_add(digit.into()))
                    .ok_or(WRONG)?;
            }
            Ok(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000755\0"), Ok(0o755));
        assert_eq!(number(b"   755 \0"), Ok(0o755));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(
            number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1]),
            Ok((2 << 24) + 1)
        );
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert!(
            number(&[
                0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
            ])
            .is_err()
        );
        assert!(number(b"0000855\0").is_err());
        assert!(number(b"-000055\0").is_err());
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_cksum();
        let mut bytes = *header.as_bytes();
        assert!(Header::parse(&bytes).is_ok());
        bytes[0] ^= 1;
        assert!(Header::parse(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn any_block_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), BLOCK), fix in any::<bool>()) {
            let mut block: [u8; BLOCK] = bytes.try_into().unwrap();
            if fix {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            if let Ok(header) = Header::parse(&block) {
                let _ = (header.kind(), header.name(), header.link_name(), header.mode(), header.device());
                let _ = (header.user(), header.group(), header.size(), header.modified(), header.gnu_sparse());
            } else {
                prop_assert!(!fix);
            }
        }
    }
}
