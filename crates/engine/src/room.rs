//! Room on the host's disk for what containers write.
//!
//! The image of a data disk is sparse. Where the host has no room for it to grow, the machine keeps the guest's writes
//! until there is some (`blk/room.rs` of the crate `devices`), so nothing is lost; but what is begun meanwhile would
//! stand still, so it is refused instead, with what to do.

use store::StoreError;

use crate::engine::Inner;
use crate::error::Result;
use crate::machine::Guest;
use crate::sys;

/// Bytes that have to be free for another container to be started: more than its folder and its record take.
const LEAST: u64 = 16 << 20;

impl Inner {
    /// # Errors
    /// When the host's disk is full, or as good as that.
    pub(crate) fn check_room(&self, guest: &Guest) -> Result<()> {
        let home = &self.config.home;
        let free = sys::free_disk_bytes(home);
        if guest.waits_for_room() || free.is_some_and(|free| free < LEAST) {
            return Err(StoreError::DiskFull(home.clone()).into());
        }
        Ok(())
    }
}
