//! How a machine ends: by its guest, by a vCPU that cannot go on, or because it was told to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hypervisor::Kick;

use crate::console::Console;
use crate::control::StopReason;
use crate::machine::EventSink;

/// Why a guest ended.
pub(super) enum End {
    PowerOff,
    Reset,
    Failed(String),
}

/// Shared by the vCPUs and the devices that can end a machine.
pub(super) struct Lifecycle {
    ended: AtomicBool,
    kickers: Mutex<Vec<Arc<dyn Kick>>>,
    events: EventSink,
    console: Arc<Console>,
}

impl Lifecycle {
    pub(super) fn new(events: EventSink, console: Arc<Console>) -> Self {
        Self {
            ended: AtomicBool::new(false),
            kickers: Mutex::default(),
            events,
            console,
        }
    }

    /// The vCPUs that an end has to reach.
    pub(super) fn set_kickers(&self, kickers: Vec<Arc<dyn Kick>>) {
        *self.kickers.lock().unwrap_or_else(PoisonError::into_inner) = kickers;
    }

    /// Whether vCPUs are to stop.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// The kernel's first instruction is next.
    pub(super) fn entered(&self) {
        self.events.entered();
    }

    /// Reports the end, if it is the first, and gets every vCPU out of the guest.
    pub(super) fn end(&self, end: End) {
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.events.stopped(match end {
            End::PowerOff => StopReason::PoweredOff,
            End::Reset => StopReason::Reset {
                console_tail: self.console_tail(),
            },
            End::Failed(message) => StopReason::Failed {
                message,
                console_tail: self.console_tail(),
            },
        });
        self.kick();
    }

    /// Ends it without a report.
    pub(super) fn stop(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.kick();
    }

    pub(super) fn console_tail(&self) -> Vec<String> {
        self.console.tail()
    }

    fn kick(&self) {
        for kicker in self.kickers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            kicker.kick();
        }
    }
}
