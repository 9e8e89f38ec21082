//! pax records, `length key=value\n`, where the length counts the whole record.

use super::sparse::PaxSparse;

/// What pax records and GNU's long-name entries say about the entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link_name: Option<Vec<u8>>,
    pub(super) size: Option<i64>,
    pub(super) user: Option<i64>,
    pub(super) group: Option<i64>,
    /// Seconds and nanoseconds.
    pub(super) modified: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

const MALFORMED: &str = "it has malformed pax records";

impl Extensions {
    /// Takes in the records of one pax entry.
    pub(super) fn read_records(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or(MALFORMED)?;
            let (digits, _) = bytes.split_at(space);
            let length = usize::try_from(decimal(digits)?).map_err(|_| MALFORMED)?;
            let record = bytes.get(space + 1..length).ok_or(MALFORMED)?;
            let record = record.strip_suffix(b"\n").ok_or(MALFORMED)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(MALFORMED)?;
            let (key, value) = record.split_at(equals);
            self.record(key, value.get(1..).unwrap_or_default())?;
            bytes = bytes.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    /// An empty value takes an earlier record back.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.".as_slice()) {
            // An attribute may be empty, so here an empty value is a value.
            if name.contains(&0) {
                return Err(MALFORMED);
            }
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        if let Some(key) = key.strip_prefix(b"GNU.sparse.".as_slice()) {
            return self.sparse.record(key, value);
        }
        let number = || {
            if value.is_empty() {
                Ok(None)
            } else {
                decimal(value).map(Some)
            }
        };
        let text = || match value {
            [] => Ok(None),
            value if value.contains(&0) => Err("it has a NUL in its name"),
            value => Ok(Some(value.to_vec())),
        };
        match key {
            b"path" => self.name = text()?,
            b"linkpath" => self.link_name = text()?,
            b"size" => self.size = number()?,
            b"uid" => self.user = number()?,
            b"gid" => self.group = number()?,
            b"mtime" => {
                self.modified = if value.is_empty() {
                    None
                } else {
                    Some(time(value)?)
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A decimal number without sign.
pub(super) fn decimal(digits: &[u8]) -> Result<i64, &'static str> {
    if digits.is_empty() {
        return Err(MALFORMED);
    }
    let mut value = 0_i64;
    for digit in digits {
        let digit = digit
            .checked_sub(b'0')
            .filter(|digit| *digit < 10)
            .ok_or(MALFORMED)?;
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit.into()))
            .ok_or(MALFORMED)?;
    }
    Ok(value)
}

/// Seconds with an optional sign and fraction; digits beyond nanoseconds are cut off.
fn time(text: &[u8]) -> Result<(i64, u32), &'static str> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?;
    let mut nanoseconds = 0_u32;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    for digit in fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9) {
        nanoseconds = nanoseconds * 10 + u32::from(digit.saturating_sub(b'0'));
    }
    match (negative, nanoseconds) {
        (false, _) => Ok((seconds, nanoseconds)),
        (true, 0) => Ok((-seconds, 0)),
        (true, _) => Ok((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_are_read_and_an_empty_value_takes_one_back() {
        let mut extensions = Extensions::default();
        let records = b"11 path=ab\n9 uid=70\n25 SCHILY.xattr.user.a=b\n\n22 mtime=-1.250000000\n";
        let error = extensions.read_records(records);
        assert!(error.is_err(), "the attribute's length is one short");
        let mut extensions = Extensions::default();
        extensions
            .read_records(b"11 path=ab\n9 uid=70\n26 SCHILY.xattr.user.a=b\n\n22 mtime=-1.250000000\n")
            .unwrap();
        assert_eq!(extensions.name.as_deref(), Some(b"ab".as_slice()));
        assert_eq!(extensions.user, Some(70));
        assert_eq!(extensions.xattrs, [(b"user.a".to_vec(), b"b\n".to_vec())]);
        assert_eq!(extensions.modified, Some((-2, 750_000_000)));
        extensions.read_records(b"8 path=\n").unwrap();
        assert_eq!(extensions.name, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Extensions::default().read_records(&bytes);
        }

        #[test]
        fn what_a_writer_makes_is_read_back(name in "[a-z/]{1,300}", value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut builder = tar::Builder::new(Vec::new());
            builder.append_pax_extensions([("path", name.as_bytes()), ("SCHILY.xattr.user.x", &value)]).unwrap();
            let archive = builder.into_inner().unwrap();
            let mut archive = tar::Archive::new(archive.as_slice());
            let mut entry = archive.entries().unwrap().raw(true).next().unwrap().unwrap();
            let mut records = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut records).unwrap();
            let mut extensions = Extensions::default();
            extensions.read_records(&records).unwrap();
            prop_assert_eq!(extensions.name, Some(name.into_bytes()));
            prop_assert_eq!(extensions.xattrs, [(b"user.x".to_vec(), value)]);
        }
    }
}
