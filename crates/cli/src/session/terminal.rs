//! Raw mode of the terminal on stdin, left again on every way out.

use std::sync::Mutex;

use crate::failure::Result;
use crate::sys::{self, SavedTerminal};

/// The settings to go back to while a terminal is raw. One process has one terminal.
static SAVED: Mutex<Option<SavedTerminal>> = Mutex::new(None);

/// While this lives, the terminal is raw.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    pub(crate) fn enter() -> Result<Self> {
        let saved = sys::make_raw()?;
        if let Ok(mut place) = SAVED.lock() {
            *place = Some(saved);
        }
        Ok(Self(()))
    }

    /// Leaves raw mode, if it is on, before the process ends without unwinding.
    pub(crate) fn leave() {
        if let Ok(mut place) = SAVED.lock()
            && let Some(saved) = place.take()
        {
            sys::restore(&saved);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        Self::leave();
    }
}

/// A panic leaves raw mode before it prints: a release build does not unwind.
pub(crate) fn restore_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        Raw::leave();
        print(panic);
    }));
}
