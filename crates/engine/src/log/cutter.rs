//! Cuts a file's bytes into the pieces that are its entries, however the reads fall.

use bytes::{Bytes, BytesMut};

use super::entry::{Format, LONGEST};
use super::frames;

/// One entry as it lies in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its length in the file.
    pub(super) length: usize,
    /// Its bytes; none of a line that is longer than any of ours.
    pub(super) bytes: Bytes,
}

/// Holds an unfinished entry of at most 1 MiB beside what was fed last.
#[derive(Debug)]
pub(super) struct Cutter {
    format: Format,
    buffer: BytesMut,
    /// Bytes at the front of the buffer without a newline in them.
    searched: usize,
    /// Bytes of the unfinished line that were dropped for its length.
    dropped: usize,
    /// Whether what follows cannot be understood.
    broken: bool,
}

impl Cutter {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            buffer: BytesMut::new(),
            searched: 0,
            dropped: 0,
            broken: false,
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Adds bytes of the file.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next entry that is complete.
    pub(super) fn next_piece(&mut self) -> Option<Piece> {
        match self.format {
            Format::Json => self.next_line(),
            Format::Local => self.next_frame(),
        }
    }

    fn next_line(&mut self) -> Option<Piece> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        if let Some(newline) = unsearched.iter().position(|&byte| byte == b'\n') {
            let line = self
                .buffer
                .split_to(self.searched.saturating_add(newline).saturating_add(1))
                .freeze();
            self.searched = 0;
            let dropped = std::mem::take(&mut self.dropped);
            return Some(Piece {
                length: line.len().saturating_add(dropped),
                bytes: if dropped == 0 { line } else { Bytes::new() },
            });
        }
        self.searched = self.buffer.len();
        if self.searched > LONGEST {
            self.dropped = self.dropped.saturating_add(self.searched);
            self.buffer.clear();
            self.searched = 0;
        }
        None
    }

    fn next_frame(&mut self) -> Option<Piece> {
        let head = self.buffer.get(..frames::HEAD)?;
        let Some(length) = frames::length(head) else {
            self.broken = true;
            self.buffer.clear();
            return None;
        };
        if self.buffer.len() < length {
            return None;
        }
        Some(Piece {
            length,
            bytes: self.buffer.split_to(length).freeze(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::attributes::Attributes;
    use super::super::entry::{Encoder, Entry};
    use super::*;
    use crate::stream::Channel;

    fn cut(format: Format, file: &[u8], piece: usize) -> Vec<Piece> {
        let mut cutter = Cutter::new(format);
        let mut pieces = Vec::new();
        for part in file.chunks(piece) {
            cutter.feed(part);
            pieces.extend(std::iter::from_fn(|| cutter.next_piece()));
        }
        pieces
    }

    #[test]
    fn a_line_that_is_none_of_ours_is_passed_over_in_bounds() {
        let mut file = vec![b'x'; LONGEST * 3];
        file.extend_from_slice(b"\n{}\n");
        let mut cutter = Cutter::new(Format::Json);
        let mut pieces = Vec::new();
        for part in file.chunks(64 << 10) {
            cutter.feed(part);
            pieces.extend(std::iter::from_fn(|| cutter.next_piece()));
            assert!(cutter.buffer.len() <= LONGEST + (64 << 10));
        }
        assert_eq!(pieces.len(), 2);
        assert_eq!((pieces[0].length, pieces[0].bytes.len()), (LONGEST * 3 + 1, 0));
        assert_eq!(pieces[1].bytes, "{}\n");
    }

    #[test]
    fn nothing_behind_a_length_that_no_frame_has_is_taken_for_a_frame() {
        let mut file = vec![0xff; 4];
        Encoder::new(Format::Local, &Attributes::new()).encode(&mut file, b"x", Channel::Stdout, 0);
        assert!(cut(Format::Local, &file, 7).is_empty());
    }

    proptest! {
        #[test]
        fn entries_come_back_however_the_file_is_read(
            texts in proptest::collection::vec("\\PC{0,40}\n?", 0..12),
            piece in 1usize..100,
            local in any::<bool>(),
        ) {
            let format = if local { Format::Local } else { Format::Json };
            let encoder = Encoder::new(format, &Attributes::new());
            let mut file = Vec::new();
            for text in &texts {
                encoder.encode(&mut file, text.as_bytes(), Channel::Stdout, 1);
            }
            let pieces = cut(format, &file, piece);
            prop_assert_eq!(pieces.iter().map(|piece| piece.length).sum::<usize>(), file.len());
            let back: Vec<_> = pieces
                .iter()
                .map(|piece| String::from_utf8(Entry::parse(format, &piece.bytes).unwrap().text).unwrap())
                .collect();
            prop_assert_eq!(back, texts);
        }

        #[test]
        fn arbitrary_bytes_are_no_crash(
            bytes in proptest::collection::vec(any::<u8>(), 0..256),
            piece in 1usize..50,
            local in any::<bool>(),
        ) {
            cut(if local { Format::Local } else { Format::Json }, &bytes, piece);
        }
    }
}
