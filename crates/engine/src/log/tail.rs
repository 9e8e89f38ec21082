//! Where the last so many entries of a log begin, across its files. Reads no more than these entries of a file that is
//! not packed; a packed one is unpacked from its begin, without being kept.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;

use super::cutter::Cutter;
use super::entry::Format;
use super::file::{LogFile, Position};
use super::frames;

/// Bytes read at once.
const BLOCK: usize = 64 << 10;

/// A place in the log: a segment, and bytes of it, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) offset: u64,
}

/// What a segment has of the wanted entries.
enum Tail {
    /// All that are wanted; they begin here.
    From(u64),
    /// So many, and more are wanted.
    All(u64),
}

/// Where the last `wanted` entries before `end` begin. Blocks.
pub(super) fn begin(log: &LogFile, end: Position, mut wanted: u64) -> io::Result<Place> {
    let mut place = Place {
        sequence: end.sequence,
        offset: end.length,
    };
    while wanted > 0 {
        if let Some(opened) = log.open(place.sequence)?
            && opened.segment.sequence == place.sequence
        {
            let length = if place.sequence == end.sequence {
                Some(end.length)
            } else {
                opened.segment.length.get().copied()
            };
            let tail = match length {
                Some(length) if !opened.packed => unpacked(opened.file, log.format(), length, wanted),
                _ => packed(opened.file, log.format(), wanted),
            };
            match tail? {
                Tail::From(offset) => {
                    place.offset = offset;
                    break;
                }
                Tail::All(count) => wanted = wanted.saturating_sub(count),
            }
        }
        place.offset = 0;
        if place.sequence <= log.oldest() {
            break;
        }
        if wanted > 0 {
            place.sequence = place.sequence.saturating_sub(1);
        }
    }
    Ok(place)
}

fn unpacked(mut file: File, format: Format, length: u64, wanted: u64) -> io::Result<Tail> {
    match format {
        Format::Json => lines(&mut file, length, wanted),
        Format::Local => match frames_before(&mut file, length, wanted)? {
            Some(tail) => Ok(tail),
            // It cannot be walked from its end.
            None => forward(format, wanted, || {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(0))?;
                Ok(file.take(length))
            }),
        },
    }
}

fn packed(file: File, format: Format, wanted: u64) -> io::Result<Tail> {
    forward(format, wanted, || {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(MultiGzDecoder::new(file))
    })
}

fn lines(file: &mut File, length: u64, wanted: u64) -> io::Result<Tail> {
    let mut block = vec![0; BLOCK];
    let mut end = length;
    let mut newlines = 0u64;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let size = usize::try_from(end.saturating_sub(begin)).unwrap_or(BLOCK);
        let Some(bytes) = block.get_mut(..size) else { break };
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(bytes)?;
        for (index, byte) in bytes.iter().enumerate().rev() {
            if *byte == b'\n' {
                newlines = newlines.saturating_add(1);
                // The first newline from the end closes the last line; one more than asked begins the first.
                if newlines > wanted {
                    return Ok(Tail::From(begin.saturating_add(index as u64).saturating_add(1)));
                }
            }
        }
        end = begin;
    }
    Ok(Tail::All(newlines))
}

fn frames_before(file: &mut File, length: u64, wanted: u64) -> io::Result<Option<Tail>> {
    let (mut end, mut count) = (length, 0u64);
    while end > 0 {
        if count == wanted {
            return Ok(Some(Tail::From(end)));
        }
        let mut foot = [0; 4];
        let Some(at) = end.checked_sub(foot.len() as u64) else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut foot)?;
        let Some(begin) = frames::length(&foot).and_then(|frame| end.checked_sub(frame as u64)) else {
            return Ok(None);
        };
        end = begin;
        count = count.saturating_add(1);
    }
    Ok(Some(Tail::All(count)))
}

/// Counts the entries, and where they are more than wanted, goes over them again to where the wanted begin.
fn forward<R: Read>(format: Format, wanted: u64, open: impl Fn() -> io::Result<R>) -> io::Result<Tail> {
    let (count, _) = pass(format, open()?, u64::MAX)?;
    match count.checked_sub(wanted) {
        None | Some(0) => Ok(Tail::All(count)),
        Some(skipped) => Ok(Tail::From(pass(format, open()?, skipped)?.1)),
    }
}

/// Goes over at most `most` entries. Returns how many there were, and their bytes.
fn pass(format: Format, mut from: impl Read, most: u64) -> io::Result<(u64, u64)> {
    let mut cutter = Cutter::new(format);
    let mut block = vec![0; BLOCK];
    let (mut count, mut length) = (0u64, 0u64);
    loop {
        while count < most {
            let Some(piece) = cutter.next_piece() else { break };
            count = count.saturating_add(1);
            length = length.saturating_add(piece.length as u64);
        }
        if count >= most {
            return Ok((count, length));
        }
        let size = from.read(&mut block)?;
        match block.get(..size) {
            None | Some([]) => return Ok((count, length)),
            Some(bytes) => cutter.feed(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::attributes::Attributes;
    use super::super::entry::Encoder;
    use super::*;
    use crate::stream::Channel;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_tail_of_any_file_begins_after_the_right_entry(
            lines in proptest::collection::vec("[a-z]{0,15000}", 0..8),
            wanted in 1u64..10,
            local in any::<bool>(),
            pack in any::<bool>(),
        ) {
            let format = if local { Format::Local } else { Format::Json };
            let encoder = Encoder::new(format, &Attributes::new());
            let (mut content, mut begins) = (Vec::new(), Vec::new());
            for line in &lines {
                begins.push(content.len() as u64);
                encoder.encode(&mut content, format!("{line}\n").as_bytes(), Channel::Stdout, 1);
            }
            let mut file = tempfile::tempfile().unwrap();
            let tail = if pack {
                let mut encoder = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
                io::Write::write_all(&mut encoder, &content).unwrap();
                encoder.finish().unwrap();
                packed(file, format, wanted)
            } else {
                io::Write::write_all(&mut file, &content).unwrap();
                unpacked(file, format, content.len() as u64, wanted)
            };
            let skipped = lines.len().saturating_sub(usize::try_from(wanted).unwrap());
            match tail.unwrap() {
                Tail::From(offset) => prop_assert_eq!(offset, begins[skipped]),
                Tail::All(count) => prop_assert!(skipped == 0 && count == lines.len() as u64),
            }
        }
    }
}
