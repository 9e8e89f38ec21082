//! Raw mode of the terminal on stdin, or one that shows nothing, left again on every way out.

use std::sync::Mutex;

use crate::failure::Result;
use crate::sys::{self, SavedTerminal};

/// The settings to go back to while a terminal is changed. One process has one terminal.
static SAVED: Mutex<Option<SavedTerminal>> = Mutex::new(None);

/// While this lives, the terminal is not as it was.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    pub(crate) fn enter() -> Result<Self> {
        Ok(Self::keep(sys::make_raw()?))
    }

    /// Lines as ever, of which the screen shows nothing: for a password.
    pub(crate) fn without_echo() -> Result<Self> {
        Ok(Self::keep(sys::stop_echo()?))
    }

    fn keep(saved: SavedTerminal) -> Self {
        if let Ok(mut place) = SAVED.lock() {
            *place = Some(saved);
        }
        Self(())
    }

    /// Goes back, if there is anything to go back to, before the process ends without unwinding.
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
