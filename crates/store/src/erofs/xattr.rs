//! Extended attributes behind an inode (`struct erofs_xattr_ibody_header`, then `struct erofs_xattr_entry`s).

use std::collections::BTreeMap;

/// Bytes of the header before the first attribute.
pub(super) const HEADER: usize = 12;
/// Most bytes of attributes that an inode's 16-bit count can tell.
const MAX_LENGTH: usize = HEADER + 4 * (u16::MAX as usize - 1);

/// Prefixes with an index of their own; the rest of the name is stored.
const PREFIXES: [(&[u8], u8); 6] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"lustre.", 5),
    (b"security.", 6),
];

/// What overlayfs keeps its own marks under. A layer must not steer it.
const OVERLAY: &[u8] = b"trusted.overlay.";
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// The extended attributes of one file, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Xattrs(BTreeMap<Vec<u8>, Vec<u8>>);

impl Xattrs {
    /// Adds or replaces an attribute. Names outside the namespaces that a Linux file system keeps are left out,
    /// as Docker does, and so is overlayfs' own namespace. `false` when name or value is too long.
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some((_, rest)) = split(name) else { return true };
        if name.starts_with(OVERLAY) {
            return true;
        }
        if rest.len() > usize::from(u8::MAX) || value.len() > usize::from(u16::MAX) {
            return false;
        }
        self.0.insert(name.to_vec(), value.to_vec());
        self.encoded_length() <= MAX_LENGTH
    }

    /// Marks a folder as hiding what lower layers have in it.
    pub(crate) fn set_opaque(&mut self) {
        self.0.insert(OPAQUE.to_vec(), b"y".to_vec());
    }

    /// Whether the folder hides what lower layers have in it.
    pub(crate) fn is_opaque(&self) -> bool {
        self.0.contains_key(OPAQUE)
    }

    /// Bytes of names and values.
    pub(crate) fn weight(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn encoded_length(&self) -> usize {
        if self.0.is_empty() {
            return 0;
        }
        let entry = |(name, value): (&Vec<u8>, &Vec<u8>)| {
            let rest = split(name).map_or(0, |(_, rest)| rest.len());
            (4 + rest + value.len()).next_multiple_of(4)
        };
        HEADER + self.0.iter().map(entry).sum::<usize>()
    }

    /// The bytes behind the inode; none without attributes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_length());
        if self.0.is_empty() {
            return bytes;
        }
        bytes.resize(HEADER, 0);
        for (name, value) in &self.0 {
            let Some((index, rest)) = split(name) else {
                continue;
            };
            let (Ok(name_length), Ok(value_length)) = (u8::try_from(rest.len()), u16::try_from(value.len()))
            else {
                continue;
            };
            bytes.push(name_length);
            bytes.push(index);
            bytes.extend_from_slice(&value_length.to_le_bytes());
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }
}

/// The field `i_xattr_icount` for so many encoded bytes.
pub(super) fn count(encoded: &[u8]) -> u16 {
    match encoded.len().checked_sub(HEADER) {
        None => 0,
        Some(rest) => u16::try_from(rest / 4 + 1).unwrap_or(u16::MAX),
    }
}

fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(prefix, index)| {
        let rest = name.strip_prefix(*prefix)?;
        // The ACL names are whole names, the others are namespaces that need a name within.
        (rest.is_empty() != prefix.ends_with(b".")).then_some((*index, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_unknown_namespaces_and_of_overlayfs_are_left_out() {
        let mut xattrs = Xattrs::default();
        for name in [
            "com.apple.quarantine",
            "trusted.overlay.redirect",
            "user.",
            "system.nfs4_acl",
        ] {
            assert!(xattrs.set(name.as_bytes(), b"x"));
        }
        assert_eq!(xattrs, Xattrs::default());
        assert!(xattrs.set(b"system.posix_acl_access", b"acl"));
        assert!(xattrs.set(b"security.capability", b"cap"));
        let encoded = xattrs.encode();
        // An ACL's name is in its index; the other's rest is `capability`. Both end on a multiple of four.
        assert_eq!(encoded.len(), 12 + (4 + 3 + 1) + (4 + 10 + 3 + 3));
        assert_eq!(count(&encoded), 8);
    }

    #[test]
    fn what_does_not_fit_the_format_is_refused() {
        let mut xattrs = Xattrs::default();
        assert!(!xattrs.set(&[b"user.".as_slice(), &[b'n'; 256]].concat(), b""));
        assert!(!xattrs.set(b"user.big", &[0; 65_536]));
        for index in 0..3 {
            assert!(xattrs.set(format!("user.{index}").as_bytes(), &[0; 65_535]));
        }
        assert!(!xattrs.set(b"user.more", &[0; 65_535]));
    }
}
