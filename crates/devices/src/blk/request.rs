//! Requests of the block device, chain by chain (virtio 1.3, section 5.2.6).

use std::fs::File;
use std::io;
use std::sync::Arc;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
    VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};

use super::config::{MAX_RANGE_SECTORS, MAX_RANGES};
use super::room::Room;
use super::{Backing, SECTOR, SERIAL_SIZE};
use crate::queue::{Chain, QueueError, RingSlice, copy_in, copy_out, skip};
use crate::sys::file::{self, Scratch};
use crate::worker::{Line, Serve};

const HEADER_SIZE: usize = 16;
const RANGE_SIZE: usize = 16;
/// The driver sees finished requests at the latest after this many bytes of data.
const PUBLISH_BYTES: usize = 256 << 10;

/// Serves a disk's queue.
pub(crate) struct Handler {
    serial: [u8; SERIAL_SIZE],
    backing: Arc<dyn Backing>,
    scratch: Scratch,
    room: Option<Room>,
}

/// The data of one request in guest memory, as a list of slices that shrinks while it is transferred.
pub struct Buffers<'a, 'm> {
    slices: &'a mut Vec<RingSlice<'m>>,
    scratch: &'a mut Scratch,
}

impl Buffers<'_, '_> {
    /// Bytes left.
    pub fn len(&self) -> usize {
        self.slices.iter().map(|slice| slice.len()).sum()
    }

    /// Whether everything was transferred.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills all of them from `file`; a file that ends too early is an error.
    pub fn fill_from(&mut self, file: &File, offset: u64) -> io::Result<()> {
        match self.fill_up_to_end(file, offset)? {
            () if self.is_empty() => Ok(()),
            () => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Fills as many of them as `file` has bytes from `offset` on.
    pub fn fill_up_to_end(&mut self, file: &File, mut offset: u64) -> io::Result<()> {
        while !self.slices.is_empty() {
            match file::read_at(file, self.slices, offset, self.scratch) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.advance(count);
                    offset = offset.saturating_add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes what is left read as zeroes.
    pub fn fill_with_zeroes(&mut self) {
        for slice in self.slices.drain(..) {
            zero(&slice);
        }
    }

    /// Writes all of them to `file`.
    pub fn drain_to(&mut self, file: &File, mut offset: u64) -> io::Result<()> {
        while !self.slices.is_empty() {
            match file::write_at(file, self.slices, offset, self.scratch) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.advance(count);
                    offset = offset.saturating_add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut count: usize) {
        let mut whole = 0;
        for slice in self.slices.iter_mut() {
            if count < slice.len() {
                if let Ok(rest) = slice.offset(count) {
                    *slice = rest;
                }
                break;
            }
            count -= slice.len();
            whole += 1;
        }
        self.slices.drain(..whole);
    }
}

fn zero(slice: &RingSlice<'_>) {
    let zeroes = [0u8; 4096];
    let mut at = 0;
    while let Ok(rest) = slice.offset(at) {
        if rest.is_empty() {
            return;
        }
        let count = rest.len().min(zeroes.len());
        rest.copy_from(zeroes.get(..count).unwrap_or_default());
        at += count;
    }
}

/// A request's outcome: status byte, and bytes of data written to the guest.
struct Outcome(u32, usize);

impl Outcome {
    fn of(result: io::Result<()>, written: usize) -> Self {
        match result {
            Ok(()) => Self(VIRTIO_BLK_S_OK, written),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Self(VIRTIO_BLK_S_UNSUPP, 0),
            Err(error) => {
                tracing::debug!(%error, "a disk request failed");
                Self(VIRTIO_BLK_S_IOERR, 0)
            }
        }
    }

    fn error() -> Self {
        Self(VIRTIO_BLK_S_IOERR, 0)
    }
}

impl Handler {
    pub(crate) fn new(serial: &str, backing: Arc<dyn Backing>) -> Self {
        let mut bytes = [0; SERIAL_SIZE];
        bytes
            .iter_mut()
            .zip(serial.bytes())
            .for_each(|(to, from)| *to = from);
        Self {
            serial: bytes,
            backing,
            scratch: Scratch::default(),
            room: None,
        }
    }

    /// Keeps requests that meet a full disk.
    pub(crate) fn waiting_for(mut self, room: Room) -> Self {
        self.room = Some(room);
        self
    }

    /// Handles one request; returns the bytes written to its chain, the status included.
    fn request(
        &mut self,
        chain: &Chain,
        readable: &[RingSlice<'_>],
        writable: &mut Vec<RingSlice<'_>>,
    ) -> usize {
        // The status is the last writable byte of the chain (section 5.2.6).
        let Some(status_slice) = writable.last().copied().filter(|slice| !slice.is_empty()) else {
            return 0;
        };
        let data = chain.writable.saturating_sub(1);
        let Outcome(status, written) = if chain.malformed || chain.readable < HEADER_SIZE {
            Outcome::error()
        } else {
            truncate(writable);
            self.execute(readable, data, writable)
        };
        let last = status_slice.len() - 1;
        if let Ok(byte) = status_slice.offset(last) {
            byte.copy_from(&[status as u8]);
        }
        // The used length counts from the chain's first writable byte, so the status counts only after whole data.
        if written == data { data + 1 } else { written }
    }

    /// `writable` is the data without the status byte, `length` bytes.
    fn execute(
        &mut self,
        readable: &[RingSlice<'_>],
        length: usize,
        writable: &mut Vec<RingSlice<'_>>,
    ) -> Outcome {
        let mut header = [0; HEADER_SIZE];
        copy_out(readable, &mut header);
        let [kind, _, low, high] = words(header);
        let sector = u64::from(low) | u64::from(high) << 32;
        match kind {
            VIRTIO_BLK_T_IN => match self.range(sector, length as u64) {
                Some(offset) => {
                    let scratch = &mut self.scratch;
                    let result = self.backing.read(
                        offset,
                        &mut Buffers {
                            slices: writable,
                            scratch,
                        },
                    );
                    Outcome::of(result, length)
                }
                None => Outcome::error(),
            },
            VIRTIO_BLK_T_OUT => {
                let mut slices = Vec::with_capacity(readable.len());
                skip(readable, HEADER_SIZE, usize::MAX, &mut slices);
                let length: usize = slices.iter().map(|slice| slice.len()).sum();
                match self.range(sector, length as u64) {
                    Some(offset) if !self.backing.read_only() => {
                        let scratch = &mut self.scratch;
                        let mut buffers = Buffers {
                            slices: &mut slices,
                            scratch,
                        };
                        let result = with_room(self.room.as_ref(), || {
                            // A write that was cut short goes on where it stopped.
                            let done = (length - buffers.len()) as u64;
                            self.backing.write(offset.saturating_add(done), &mut buffers)
                        });
                        Outcome::of(result, 0)
                    }
                    _ => Outcome::error(),
                }
            }
            VIRTIO_BLK_T_FLUSH => Outcome::of(self.backing.flush(), 0),
            VIRTIO_BLK_T_GET_ID => {
                let count = copy_in(writable, &self.serial);
                Outcome::of(Ok(()), count)
            }
            VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES if !self.backing.read_only() => {
                self.ranges(kind, readable)
            }
            _ => Outcome(VIRTIO_BLK_S_UNSUPP, 0),
        }
    }

    /// Discards or zeroes the ranges that follow the header: sector, number of sectors, flags.
    fn ranges(&self, kind: u32, readable: &[RingSlice<'_>]) -> Outcome {
        let mut bytes = [0; HEADER_SIZE + RANGE_SIZE * MAX_RANGES as usize];
        let length: usize = readable.iter().map(|slice| slice.len()).sum();
        let count = copy_out(readable, &mut bytes);
        if length != count || !(count - HEADER_SIZE).is_multiple_of(RANGE_SIZE) {
            return Outcome::error();
        }
        let ranges = bytes.get(HEADER_SIZE..count).unwrap_or_default();
        for range in ranges.as_chunks::<RANGE_SIZE>().0 {
            let [low, high, sectors, flags] = words(*range);
            let sector = u64::from(low) | u64::from(high) << 32;
            let unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0;
            if flags & !VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0 || (kind == VIRTIO_BLK_T_DISCARD && unmap) {
                return Outcome(VIRTIO_BLK_S_UNSUPP, 0);
            }
            let length = u64::from(sectors) * SECTOR;
            let Some(offset) = self
                .range(sector, length)
                .filter(|_| sectors <= MAX_RANGE_SECTORS)
            else {
                return Outcome::error();
            };
            let result = match (kind, length) {
                (_, 0) => Ok(()),
                (VIRTIO_BLK_T_DISCARD, _) => self.backing.discard(offset, length),
                _ => with_room(self.room.as_ref(), || {
                    self.backing.write_zeroes(offset, length, unmap)
                }),
            };
            if result.is_err() {
                return Outcome::of(result, 0);
            }
        }
        Outcome::of(Ok(()), 0)
    }

    /// The offset in bytes of a transfer of whole sectors inside the disk.
    fn range(&self, sector: u64, length: u64) -> Option<u64> {
        let offset = sector.checked_mul(SECTOR)?;
        let end = offset.checked_add(length)?;
        (length.is_multiple_of(SECTOR) && end <= self.backing.capacity()).then_some(offset)
    }
}

/// Makes the attempt, again and again while the disk is full if that is to be waited for.
fn with_room(room: Option<&Room>, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    match room {
        Some(room) => room.wait_for(attempt),
        None => attempt(),
    }
}

/// Takes the last byte away.
fn truncate(slices: &mut Vec<RingSlice<'_>>) {
    if let Some(last) = slices.pop()
        && let Ok(rest) = last.subslice(0, last.len() - 1)
        && !rest.is_empty()
    {
        slices.push(rest);
    }
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    let value = u128::from_le_bytes(bytes);
    [
        value as u32,
        (value >> 32) as u32,
        (value >> 64) as u32,
        (value >> 96) as u32,
    ]
}

impl Serve for Handler {
    fn serve<'m>(&mut self, _index: usize, line: &mut Line<'m>) -> Result<(), QueueError> {
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        let mut unpublished = 0;
        for _ in 0..line.ring.size() {
            readable.clear();
            writable.clear();
            let Some(chain) = line.ring.take(&mut readable, &mut writable)? else {
                break;
            };
            let written = self.request(&chain, &readable, &mut writable);
            line.ring.give(chain.head, written);
            unpublished += chain.readable + chain.writable;
            if unpublished >= PUBLISH_BYTES {
                line.publish();
                unpublished = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
