//! Maps of files with holes, in the four forms that GNU tar has had: offset and length pairs in the header, in pax
//! records one by one (0.0), in one pax record (0.1), and before the data (1.0).

use std::io::BufRead;

use super::BLOCK;
use super::header::{number, until_nul};
use super::pax::decimal;
use crate::erofs::Extent;

/// Most pieces of one file.
const MAX_PIECES: usize = 1 << 20;
const MALFORMED: &str = "it has a malformed sparse map";
const TOO_MANY: &str = "it is sparse with too many pieces";

/// What pax records say about holes.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    major: Option<i64>,
    /// The name of the file; `path` has an invented one.
    pub(super) name: Option<Vec<u8>>,
    /// Length with holes.
    pub(super) size: Option<i64>,
    pieces: Vec<Extent>,
    pending_offset: Option<u64>,
    present: bool,
}

impl PaxSparse {
    /// A record whose key began with `GNU.sparse.`.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"major" => self.major = Some(decimal(value)?),
            b"name" if !value.contains(&0) => self.name = Some(value.to_vec()),
            b"realsize" | b"size" => self.size = Some(decimal(value)?),
            b"offset" => {
                self.present = true;
                self.pending_offset = Some(position(value)?);
            }
            b"numbytes" => {
                self.present = true;
                let offset = self.pending_offset.take().ok_or(MALFORMED)?;
                push(
                    &mut self.pieces,
                    Extent {
                        offset,
                        length: position(value)?,
                    },
                )?;
            }
            b"map" => {
                self.present = true;
                self.pieces.clear();
                let mut numbers = value
                    .split(|byte| *byte == b',')
                    .filter(|number| !number.is_empty());
                while let Some(offset) = numbers.next() {
                    let offset = position(offset)?;
                    let length = position(numbers.next().ok_or(MALFORMED)?)?;
                    push(&mut self.pieces, Extent { offset, length })?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The map lies before the data.
    pub(super) fn is_before_data(&self) -> bool {
        self.major == Some(1)
    }

    /// The map of the forms that have it in records.
    pub(super) fn pieces(self) -> Option<Vec<Extent>> {
        self.present.then_some(self.pieces)
    }
}

/// The pairs of GNU's old form in `bytes`; an empty pair ends them.
pub(super) fn read_old(bytes: &[u8], pieces: &mut Vec<Extent>) -> Result<(), &'static str> {
    for pair in bytes.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if until_nul(offset).is_empty() && offset.first() == Some(&0) {
            break;
        }
        let field = |field| u64::try_from(number(field)?).map_err(|_| MALFORMED);
        push(
            pieces,
            Extent {
                offset: field(offset)?,
                length: field(length)?,
            },
        )?;
    }
    Ok(())
}

/// The map of form 1.0: decimal numbers, a line each, first their count in pairs, padded to a whole block. What
/// was read is appended to `raw`; returns the map and its bytes with padding.
pub(super) fn read_before_data(
    source: &mut impl BufRead,
    available: u64,
    raw: &mut Vec<u8>,
) -> Result<(Vec<Extent>, u64), MapError> {
    let start = raw.len();
    let mut parsed = start;
    let mut numbers = Vec::new();
    let mut wanted = 1_usize;
    while numbers.len() < wanted {
        if (raw.len() - start) as u64 + BLOCK as u64 > available {
            return Err(MapError::Malformed(MALFORMED));
        }
        super::reader::read_block(source, raw)?;
        while numbers.len() < wanted {
            let rest = raw.get(parsed..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() > BLOCK {
                    return Err(MapError::Malformed(MALFORMED));
                }
                break;
            };
            let value = position(rest.get(..end).unwrap_or_default()).map_err(MapError::Malformed)?;
            parsed += end + 1;
            numbers.push(value);
            if let [count] = numbers.as_slice() {
                let count = usize::try_from(*count).ok().filter(|count| *count <= MAX_PIECES);
                wanted = 1 + 2 * count.ok_or(MapError::Malformed(TOO_MANY))?;
            }
        }
    }
    let pairs = numbers.get(1..).unwrap_or_default().chunks_exact(2);
    let pieces = pairs.filter_map(|pair| match pair {
        [offset, length] => Some(Extent {
            offset: *offset,
            length: *length,
        }),
        _ => None,
    });
    Ok((pieces.collect(), (raw.len() - start) as u64))
}

/// A map could not be read.
pub(super) enum MapError {
    Malformed(&'static str),
    Io(std::io::Error),
}

impl From<std::io::Error> for MapError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn position(text: &[u8]) -> Result<u64, &'static str> {
    decimal(text).map(i64::unsigned_abs).map_err(|_| MALFORMED)
}

fn push(pieces: &mut Vec<Extent>, piece: Extent) -> Result<(), &'static str> {
    if pieces.len() >= MAX_PIECES {
        return Err(TOO_MANY);
    }
    pieces.push(piece);
    Ok(())
}
