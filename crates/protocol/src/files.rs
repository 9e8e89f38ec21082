//! Work on the files of a container, whether it runs or not.

use serde::{Deserialize, Serialize};

use crate::{LayerExtent, Mount, Token};

/// The last byte of a stream that the guest writes for a [`FileJob`], if everything before it is there.
pub const COMPLETE: u8 = b'.';

/// What a container that does not run is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The image's layers, lowest first.
    pub layers: Vec<LayerExtent>,
    /// The volumes; others are left out.
    pub mounts: Vec<Mount>,
    /// Whether nothing may be changed.
    pub read_only: bool,
}

/// One piece of work. Paths are the container's own, absolute, and resolved inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileJob {
    /// Answered by [`crate::Reply::Path`] of the path itself, whose last part may be a symbolic link.
    Stat { path: String },
    /// Writes a tar of a file or directory into the stream. Answered as `Stat`, of what is being read, before the
    /// first byte; the tar's own end says that it is whole.
    Get { path: String, stream: Token },
    /// Unpacks the tar of the stream into a directory. Answered when that is done.
    Put {
        path: String,
        stream: Token,
        /// Whether a directory may not take the place of anything else, nor the reverse.
        keep_kinds: bool,
        /// Who is to own what is unpacked, as `--user` takes it; `None` is who the tar says.
        owner: Option<String>,
    },
    /// Writes a tar of the whole root, without what is mounted in it.
    Export { stream: Token },
    /// Writes a line of `A`, `C` or `D`, a space and a path for everything that differs from the image.
    Changes { stream: Token },
    /// Writes what differs from the image as a layer's tar (image-spec, "Image Layer Filesystem Changeset").
    Diff { stream: Token },
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStat {
    /// The path's last part.
    pub name: String,
    pub size: u64,
    /// As stat(2) tells it: kind and permissions.
    pub mode: u32,
    /// Nanoseconds since the Unix epoch.
    pub mtime_ns: i64,
    /// Where a symbolic link leads, resolved inside the container; empty for anything else.
    pub link_target: String,
}
