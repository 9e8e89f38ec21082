//! Who uses a guest.
//!
//! A guest costs its host memory, and its kernel wakes up now and then even when nothing happens. So one that nobody uses
//! for a while is stopped, and the next command boots another. Whoever asks something of a guest holds a [`Lease`] of it
//! meanwhile, and every container and exec that runs in it has one.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::guest::Guest;

/// Leases of one guest.
#[derive(Debug, Default)]
pub(super) struct Leases(watch::Sender<usize>);

impl Leases {
    fn add(&self) {
        self.0.send_modify(|count| *count = count.saturating_add(1));
    }

    fn remove(&self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Watches how many there are.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}

/// A guest that is not stopped for want of use while this is held.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Guest>);

impl Lease {
    pub(super) fn of(guest: Arc<Guest>) -> Self {
        guest.leases.add();
        Self(guest)
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        Self::of(self.0.clone())
    }
}

impl Deref for Lease {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.remove();
    }
}

/// Waits until there was no lease for as long as `patience` says. `false`: the guest is gone.
pub(super) async fn unused(leases: &mut watch::Receiver<usize>, patience: Duration) -> bool {
    loop {
        if *leases.borrow_and_update() > 0 {
            if leases.changed().await.is_err() {
                return false;
            }
        } else {
            match tokio::time::timeout(patience, leases.changed()).await {
                Err(_) => return true,
                Ok(Err(_)) => return false,
                Ok(Ok(())) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(300);
    const ALMOST: Duration = Duration::from_secs(299);

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_nobody_uses_is_unused_after_a_while() {
        let leases = Leases::default();
        let begun = tokio::time::Instant::now();
        assert!(unused(&mut leases.watch(), PATIENCE).await);
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_is_used_is_not_unused() {
        let leases = Leases::default();
        leases.add();
        let waited = tokio::time::timeout(PATIENCE * 10, unused(&mut leases.watch(), PATIENCE)).await;
        assert!(waited.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_use_begins_the_while_anew() {
        let leases = Leases::default();
        let mut watched = leases.watch();
        let short_use = async {
            tokio::time::sleep(ALMOST).await;
            leases.add();
            leases.remove();
        };
        let begun = tokio::time::Instant::now();
        assert!(tokio::join!(short_use, unused(&mut watched, PATIENCE)).1);
        assert_eq!(begun.elapsed(), ALMOST + PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_is_gone_is_not_unused() {
        let leases = Leases::default();
        let mut watched = leases.watch();
        drop(leases);
        assert!(!unused(&mut watched, PATIENCE).await);
    }
}
