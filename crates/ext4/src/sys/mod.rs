//! Sparse files and writes at an offset, which std has under another name on each host.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{mark_sparse, write_all_at};
#[cfg(windows)]
pub(crate) use windows::{mark_sparse, write_all_at};
