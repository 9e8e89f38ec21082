//! From a stream of bytes to entries.

use std::io::{self, BufRead, Read};

use super::BLOCK;
use super::header::{EntryKind, Header, HeaderKind, until_nul};
use super::pax::Extensions;
use super::sparse::{self, MapError};
use crate::erofs::{Attributes, Extent};
use crate::error::LayerError;

/// Longest extension entry (pax records, a long name) that is read into memory.
const MAX_EXTENSION: u64 = 1 << 20;
/// Extension entries in a row before an entry.
const MAX_EXTENSIONS: usize = 16;

/// One file, folder or link of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) name: Vec<u8>,
    pub(crate) link_name: Vec<u8>,
    pub(crate) attributes: Attributes,
    /// Extended attributes as the archive has them.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of data in the archive.
    pub(crate) size: u64,
    /// For a file with holes: its length, and where the data belongs.
    pub(crate) sparse: Option<(u64, Vec<Extent>)>,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
}

impl Entry {
    /// The length of the file.
    pub(crate) fn content(&self) -> u64 {
        self.sparse.as_ref().map_or(self.size, |(length, _)| *length)
    }
}

/// Reads an archive. The caller takes all data of an entry with [`Reader::data`] before it asks for the next.
pub(crate) struct Reader<R> {
    source: R,
    /// Bytes taken from the source.
    position: u64,
    /// Data of the current entry not yet taken.
    remaining: u64,
    /// Padding behind that data.
    padding: usize,
    /// Bytes that were not data since they were last taken.
    raw: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            position: 0,
            remaining: 0,
            padding: 0,
            raw: Vec::new(),
        }
    }

    /// The bytes since the last call that are not data of an entry, in order.
    pub(crate) fn take_raw(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.raw)
    }

    /// Offset in the archive: behind [`Reader::next`], where the data of the entry begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn into_source(self) -> R {
        self.source
    }

    /// The data of the current entry. It ends early when the archive does.
    pub(crate) fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    /// The next entry, or `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        self.skip_padding()?;
        let mut extensions = Extensions::default();
        let (mut long_name, mut long_link) = (None, None);
        for _ in 0..MAX_EXTENSIONS {
            let offset = self.position;
            let malformed = |reason: &str| LayerError::Entry {
                offset,
                reason: reason.to_owned(),
            };
            let Some(block) = self.header_block()? else {
                return Ok(None);
            };
            let header = Header::parse(&block).map_err(malformed)?;
            let size = header.size().map_err(malformed)?;
            let size = u64::try_from(size).map_err(|_| malformed("its size is negative"))?;
            match header.kind().map_err(malformed)? {
                HeaderKind::Pax => {
                    let records = self.extension(size, offset)?;
                    extensions.read_records(&records).map_err(malformed)?;
                }
                HeaderKind::PaxGlobal => {
                    // Docker ignores them too.
                    self.extension(size, offset)?;
                }
                HeaderKind::GnuLongName => {
                    long_name = Some(until_nul(&self.extension(size, offset)?).to_vec())
                }
                HeaderKind::GnuLongLink => {
                    long_link = Some(until_nul(&self.extension(size, offset)?).to_vec())
                }
                HeaderKind::Entry(kind) => {
                    extensions.name = long_name.or(extensions.name);
                    extensions.link_name = long_link.or(extensions.link_name);
                    return self.entry(&header, kind, extensions, offset).map(Some);
                }
                HeaderKind::GnuSparse => {
                    extensions.name = long_name.or(extensions.name);
                    extensions.link_name = None;
                    return self.old_sparse(&header, extensions, offset).map(Some);
                }
            }
        }
        Err(LayerError::Entry {
            offset: self.position,
            reason: "it has too many extension headers".to_owned(),
        })
    }

    /// Hands out the bytes behind the archive's end in pieces, as raw.
    pub(crate) fn drain(
        &mut self,
        mut raw: impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        raw(&self.take_raw())?;
        loop {
            let bytes = self.source.fill_buf()?;
            if bytes.is_empty() {
                return Ok(());
            }
            raw(bytes)?;
            let length = bytes.len();
            self.source.consume(length);
        }
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        kind: EntryKind,
        extensions: Extensions,
        offset: u64,
    ) -> Result<Entry, LayerError> {
        let malformed = |reason: &str| LayerError::Entry {
            offset,
            reason: reason.to_owned(),
        };
        let mut entry = plain_entry(header, kind, &extensions).map_err(malformed)?;
        entry.xattrs = extensions.xattrs;
        entry.name = extensions.name.unwrap_or_else(|| header.name());
        entry.link_name = extensions
            .link_name
            .unwrap_or_else(|| header.link_name().to_vec());
        self.expect_data(entry.size, offset)?;
        if kind == EntryKind::Regular {
            let mut sparse = extensions.sparse;
            entry.name = sparse.name.take().unwrap_or(entry.name);
            let length = sparse.size.and_then(|size| u64::try_from(size).ok());
            let pieces = if sparse.is_before_data() {
                let map = sparse::read_before_data(&mut self.source, entry.size, &mut self.raw);
                let (pieces, length) = map.map_err(|error| match error {
                    MapError::Malformed(reason) => malformed(reason),
                    MapError::Io(error) => error.into(),
                })?;
                self.position = self.position.saturating_add(length);
                self.remaining = self.remaining.saturating_sub(length);
                Some(pieces)
            } else {
                sparse.pieces()
            };
            if let Some(pieces) = pieces {
                let length = length.ok_or_else(|| malformed("it is sparse and does not tell its length"))?;
                self.check_sparse(length, &pieces, offset)?;
                entry.size = self.remaining;
                entry.sparse = Some((length, pieces));
            }
        }
        Ok(entry)
    }

    fn old_sparse(
        &mut self,
        header: &Header<'_>,
        extensions: Extensions,
        offset: u64,
    ) -> Result<Entry, LayerError> {
        let malformed = |reason: &str| LayerError::Entry {
            offset,
            reason: reason.to_owned(),
        };
        let mut entry = plain_entry(header, EntryKind::Regular, &extensions).map_err(malformed)?;
        entry.xattrs = extensions.xattrs;
        entry.name = extensions.name.unwrap_or_else(|| header.name());
        let (map, mut goes_on, length) = header.gnu_sparse().map_err(malformed)?;
        let mut pieces = Vec::new();
        sparse::read_old(map, &mut pieces).map_err(malformed)?;
        while goes_on {
            let block = self.block()?.ok_or(LayerError::Truncated)?;
            let (map, rest) = block.split_at(504);
            sparse::read_old(map, &mut pieces).map_err(malformed)?;
            goes_on = rest.first().is_some_and(|flag| *flag != 0);
        }
        self.expect_data(entry.size, offset)?;
        let length = u64::try_from(length).map_err(|_| malformed("its size is negative"))?;
        self.check_sparse(length, &pieces, offset)?;
        entry.sparse = Some((length, pieces));
        Ok(entry)
    }

    /// The pieces of a sparse file must account for all its data.
    fn check_sparse(&self, length: u64, pieces: &[Extent], offset: u64) -> Result<(), LayerError> {
        let sum = pieces
            .iter()
            .try_fold(0_u64, |sum, piece| sum.checked_add(piece.length));
        if sum == Some(self.remaining) && i64::try_from(length).is_ok() {
            Ok(())
        } else {
            let reason = "its sparse map does not fit its data".to_owned();
            Err(LayerError::Entry { offset, reason })
        }
    }

    fn expect_data(&mut self, size: u64, offset: u64) -> Result<(), LayerError> {
        if i64::try_from(size).is_err() {
            return Err(LayerError::Entry {
                offset,
                reason: "its size is out of range".to_owned(),
            });
        }
        self.remaining = size;
        self.padding = padding(size);
        Ok(())
    }

    /// The content of an extension entry; it is raw too.
    fn extension(&mut self, size: u64, offset: u64) -> Result<Vec<u8>, LayerError> {
        if size > MAX_EXTENSION {
            let reason = format!("its extension header of {size} bytes is over the limit of {MAX_EXTENSION}");
            return Err(LayerError::Entry { offset, reason });
        }
        let start = self.raw.len();
        let whole = size.saturating_add(padding(size) as u64);
        let read = self.source.by_ref().take(whole).read_to_end(&mut self.raw)? as u64;
        self.position = self.position.saturating_add(read);
        if read < whole {
            return Err(LayerError::Truncated);
        }
        Ok(self
            .raw
            .get(start..)
            .and_then(|bytes| bytes.get(..size as usize))
            .unwrap_or_default()
            .to_vec())
    }

    /// A header block; `None` for the end of the archive, marked or not.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        // Two blocks of zeros end an archive; one and then anything else is an accident that readers differ on.
        let offset = self.position;
        match self.block()? {
            Some(second) if second.iter().any(|byte| *byte != 0) => Err(LayerError::Entry {
                offset,
                reason: "it follows an end mark that is cut short".to_owned(),
            }),
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        if self.source.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let start = self.raw.len();
        read_block(&mut self.source, &mut self.raw)?;
        self.position = self.position.saturating_add(BLOCK as u64);
        Ok(self.raw.get(start..).and_then(|bytes| bytes.try_into().ok()))
    }

    fn skip_padding(&mut self) -> Result<(), LayerError> {
        // Data that the caller did not want is an error of the caller; it would be lost for the recipe.
        if self.remaining > 0 {
            return Err(LayerError::Truncated);
        }
        let padding = std::mem::take(&mut self.padding) as u64;
        let read = self.source.by_ref().take(padding).read_to_end(&mut self.raw)? as u64;
        self.position = self.position.saturating_add(read);
        if read < padding {
            Err(LayerError::Truncated)
        } else {
            Ok(())
        }
    }
}

/// The data of one entry.
pub(crate) struct Data<'a, R>(&'a mut Reader<R>);

impl<R: BufRead> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer
            .iter_mut()
            .zip(available)
            .for_each(|(slot, byte)| *slot = *byte);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Data<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.0.remaining == 0 {
            return Ok(&[]);
        }
        let remaining = usize::try_from(self.0.remaining).unwrap_or(usize::MAX);
        let available = self.0.source.fill_buf()?;
        Ok(available.get(..remaining).unwrap_or(available))
    }

    fn consume(&mut self, length: usize) {
        self.0.source.consume(length);
        self.0.remaining = self.0.remaining.saturating_sub(length as u64);
        self.0.position = self.0.position.saturating_add(length as u64);
    }
}

/// What header and pax records say in numbers.
fn plain_entry(header: &Header<'_>, kind: EntryKind, extensions: &Extensions) -> Result<Entry, &'static str> {
    let id = |from_pax: Option<i64>, from_header: Result<i64, &'static str>| {
        let id = match from_pax {
            Some(id) => id,
            None => from_header?,
        };
        u32::try_from(id).map_err(|_| "its owner or group is out of range")
    };
    let (seconds, nanoseconds) = match extensions.modified {
        Some(time) => time,
        None => (header.modified()?, 0),
    };
    let permissions = (header.mode()? & 0o7777) as u16;
    let attributes = Attributes {
        permissions,
        user: id(extensions.user, header.user())?,
        group: id(extensions.group, header.group())?,
        seconds,
        nanoseconds,
    };
    // Only regular files have data, whatever the header of another entry says.
    let size = match (kind, extensions.size) {
        (EntryKind::Regular, Some(size)) => size,
        (EntryKind::Regular, None) => header.size()?,
        _ => 0,
    };
    let device = match kind {
        EntryKind::Character | EntryKind::Block => {
            let (major, minor) = header.device()?;
            let major = u32::try_from(major).ok().filter(|major| *major < 1 << 12);
            let minor = u32::try_from(minor).ok().filter(|minor| *minor < 1 << 20);
            major.zip(minor).ok_or("its device number is out of range")?
        }
        _ => (0, 0),
    };
    Ok(Entry {
        kind,
        name: Vec::new(),
        link_name: Vec::new(),
        attributes,
        xattrs: Vec::new(),
        size: u64::try_from(size).map_err(|_| "its size is negative")?,
        sparse: None,
        device,
    })
}

fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// Appends one whole block to `raw`.
pub(super) fn read_block(source: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<()> {
    let read = source.take(BLOCK as u64).read_to_end(raw)?;
    if read == BLOCK {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
