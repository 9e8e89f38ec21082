//! Mutexes whose holder never panics half-way through a change.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locking without a poisoned state: every critical section of this crate leaves its data whole at each step,
/// so a panic elsewhere in the holder's thread does not make the data unusable.
pub(crate) trait LockExt<T> {
    /// Waits for the lock. Held for a few instructions only, never across an await.
    fn locked(&self) -> MutexGuard<'_, T>;
}

impl<T> LockExt<T> for Mutex<T> {
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
